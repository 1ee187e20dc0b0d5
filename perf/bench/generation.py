"""The ceiling of text generation: optimum's ORTModelForCausalLM.generate at its best batch, in a process of its own.

No server's batches can be better than the same loop on the same graph with prompts that all begin together.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.bench.ceiling import CeilingError
from server.triton.binary import HUGE_PAGES

if TYPE_CHECKING:
    from perf.bench.workloads import Workload


class GenerationCeiling:
    """Prompts in batches, each generated to its end."""

    batches = (1, 8, 32)

    def __init__(self, workload: Workload, model: Path) -> None:
        """`model` is the folder of optimum's export."""
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "perf.bench.generation"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**os.environ, **HUGE_PAGES},
        )
        prompts = [item["prompt"] for item in workload.items[:64]]
        parameters = dict(workload.items[0]["parameters"])
        parameters.pop("return_full_text")
        self._ask({"model": str(model), "prompts": prompts, "parameters": parameters})

    def run(self, batch: int) -> dict[str, Any]:
        """A round: one batch from prompt to end."""
        found = self._ask({"batch": batch})
        return {**found, "requests": batch, "rate": batch / found["seconds"], "errors": 0, "rejected": 0}

    def stop(self) -> None:
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(60)
        self._said.close()

    def _ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        code = self._process.wait(10)
        self._said.seek(0)
        last = [line for line in self._said if line.strip()][-1:]
        raise CeilingError(f"the process of optimum's generation ended with {code}: {''.join(last).strip()}")


def main() -> None:
    """Orders on stdin, an answer each on stdout."""
    import onnxruntime
    from optimum.onnxruntime import ORTModelForCausalLM
    from transformers import AutoTokenizer

    given = json.loads(sys.stdin.readline())
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.force_spinning_stop", "1")
    model = ORTModelForCausalLM.from_pretrained(given["model"], session_options=options)
    tokenizer = AutoTokenizer.from_pretrained(given["model"], padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    prompts, at = given["prompts"], 0

    def generate(batch: int) -> dict[str, float]:
        nonlocal at
        chosen = [prompts[(at + index) % len(prompts)] for index in range(batch)]
        at += batch
        encoded = tokenizer(chosen, padding=True, return_tensors="pt")
        feed = {name: encoded[name] for name in ("input_ids", "attention_mask")}
        before, began = time.process_time(), time.perf_counter()
        model.generate(**feed, pad_token_id=tokenizer.eos_token_id, **given["parameters"])
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds,
            "p50_ms": 1e3 * seconds,
            "cpu_ms_per_request": 1e3 * (time.process_time() - before) / batch,
        }

    generate(1)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(generate(json.loads(line)["batch"])) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
