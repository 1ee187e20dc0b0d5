"""Runs in LitServe's environment: MODEL TASK PORT BATCH SECONDS. A batch is tokenised and run as one."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import litserve  # type: ignore[import-not-found]
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer


class Classifier(litserve.LitAPI):  # type: ignore[misc]
    """{"inputs": text} to [{"label", "score"}], as a pipeline gives it."""

    kind: Any = AutoModelForSequenceClassification

    def __init__(self, folder: str, **options: Any) -> None:
        super().__init__(**options)
        self.folder = folder

    def setup(self, device: str) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(self.folder)
        self.model: Any = self.kind.from_pretrained(self.folder).eval().to(device)

    def decode_request(self, request: dict[str, str]) -> str:
        return request["inputs"]

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def predict(self, x: list[str]) -> list[Any]:
        rows = self.tokenizer(x, padding=True, truncation=True, max_length=self.longest(), return_tensors="pt")
        with torch.inference_mode():
            return self.finish(self.model(**rows), rows["attention_mask"])

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> Any:
        return output

    def longest(self) -> int:
        return int(self.tokenizer.model_max_length)

    def finish(self, found: Any, mask: Any) -> list[Any]:  # noqa: ARG002
        scores, labels = found.logits.softmax(-1).max(-1)
        names = self.model.config.id2label
        pairs = zip(labels.tolist(), scores.tolist(), strict=True)
        return [[{"label": names[label], "score": score}] for label, score in pairs]


class Embedder(Classifier):
    """The mean over the tokens that are no padding, of length 1: what sentence-transformers makes of MiniLM."""

    kind = AutoModel

    def longest(self) -> int:
        described = json.loads((Path(self.folder) / "sentence_bert_config.json").read_text("utf-8"))
        return int(described["max_seq_length"])

    def finish(self, found: Any, mask: Any) -> list[Any]:
        counts = mask.unsqueeze(-1).to(torch.float32)
        mean = (found.last_hidden_state * counts).sum(1) / counts.sum(1).clamp(min=1e-9)
        rows: list[Any] = torch.nn.functional.normalize(mean, dim=-1).tolist()
        return rows


def interrupt(signal_number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt


def main(folder: str, task: str, port: str, batch: str, seconds: str) -> None:
    # LitServe ends its workers and frees their semaphores on Ctrl-C only.
    signal.signal(signal.SIGTERM, interrupt)
    kind = Embedder if task == "sentence-embedding" else Classifier
    api = kind(folder, max_batch_size=int(batch), batch_timeout=float(seconds))
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=1, timeout=600)
    server.run(
        host="127.0.0.1",
        port=int(port),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
