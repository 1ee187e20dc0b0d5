"""Run cases through the toolkit's own code, or through ours, and print what came of each as JSON.

`python driver.py toolkit|ours < cases.json`. One list of cases, two runs, two lists to compare. Under `toolkit` the
interpreter is that of `environment.ensure()`.
"""

from __future__ import annotations

import base64
import datetime
import io
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

NAMES = {"np": np, "Image": Image, "datetime": datetime, "base64": base64, "io": io, "json": json}
"""What the expressions of cases may use; `torch` is added when one asks for it."""


def shown(value: Any) -> Any:
    """A value as JSON that two runs can compare: its kind, and all of what it holds."""
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": str(value.dtype), "shape": list(value.shape)}
    if isinstance(value, Image.Image):
        return {"image": base64.b64encode(value.tobytes()).decode(), "mode": value.mode, "size": list(value.size)}
    if isinstance(value, bytes | bytearray):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {"object": [[key, shown(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [shown(item) for item in value]}
    return value if value is None or isinstance(value, bool | int | float | str) else {"other": repr(value)}


def evaluated(expression: str) -> Any:
    if "torch" in expression:
        import torch

        NAMES["torch"] = torch
    return eval(expression, dict(NAMES))


def decode(case: dict[str, Any]) -> Any:
    from sagemaker_huggingface_inference_toolkit import decoder_encoder

    return shown(decoder_encoder.decode(evaluated(case["body"]), case["type"]))


def encode(case: dict[str, Any]) -> Any:
    from sagemaker_huggingface_inference_toolkit import decoder_encoder

    return shown(decoder_encoder.encode(evaluated(case["content"]), case["type"]))


class Toolkit:
    """The toolkit's handler service on a model folder."""

    def __init__(self, model_dir: Path) -> None:
        from mms.context import Context
        from sagemaker_huggingface_inference_toolkit import handler_service

        self._service = handler_service.HuggingFaceHandlerService()
        self._service.get_device = lambda: -1  # it would ask torch, which no case needs
        self._context = Context("model", str(model_dir), None, 1, None, "1")
        self._service.initialize(self._context)

    def answer(self, body: bytes, headers: dict[str, str]) -> Any:
        from mms.context import RequestProcessor

        self._context.request_processor = [RequestProcessor(dict(headers))]
        self._context.request_ids = {0: "1"}
        self._context.metrics = SimpleNamespace(add_time=lambda *_args: None)
        [answer] = self._service.handle([{"body": bytearray(body)}], self._context)
        # What multi-model-server makes of it.
        if isinstance(answer, str):
            return answer
        if isinstance(answer, bytes | bytearray):
            return shown(bytes(answer)) if b"\xff" in answer else answer.decode()
        return json.dumps(answer, separators=(",", ":"))  # which it spreads over lines


class Ours:
    """Our handler on an entry whose script brings the model."""

    def __init__(self, model_dir: Path) -> None:
        from huggingface_backend.loading import load
        from huggingface_backend.manifest import Manifest

        Manifest("custom", "script").write(model_dir)
        self._handler = load("model", model_dir)

    def answer(self, body: bytes, headers: dict[str, str]) -> Any:
        from huggingface_backend.messages import Request, Response

        outcomes: list[Any] = []
        request = Request(body, headers.get("Content-Type", ""), headers.get("Accept", ""), headers)
        self._handler.handle([(request, outcomes.append)])
        [outcome] = outcomes
        if not isinstance(outcome, Response):
            raise outcome
        return shown(outcome.body) if b"\xff" in outcome.body else outcome.body.decode()


def hooks(case: dict[str, Any]) -> Any:
    """Every request of a script answered, or how its loading failed."""
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder, "code")
        code.mkdir()
        (code / "inference.py").write_text(case["script"])
        path = list(sys.path)
        sys.modules.pop("inference", None)
        try:
            service = SIDES[sys.argv[1]](Path(folder))
            return [
                outcome(lambda r=request: service.answer(r["body"].encode(), r["headers"]))
                for request in case["requests"]
            ]
        finally:
            sys.path[:] = path


def outcome(run: Any) -> Any:
    """What it returned, or the type of what it raised."""
    try:
        return {"returned": run()}
    except Exception as error:
        return {"raised": type(error).__name__, "message": str(error)[:300]}


SIDES = {"toolkit": Toolkit, "ours": Ours}
KINDS = {"decode": decode, "encode": encode, "hooks": hooks}


def main() -> None:
    cases = json.load(sys.stdin)
    results = [outcome(lambda c=case: KINDS[c["kind"]](c)) for case in cases]
    print(json.dumps(results))


if __name__ == "__main__":
    main()
