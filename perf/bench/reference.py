"""What the libraries answer: {"task", "model", "items"} on stdin, a line of JSON with an answer each on stdout."""

from __future__ import annotations

import json
import sys
from typing import Any

from perf.bench.requests import normal


def answers(task: str, model: str, items: list[Any]) -> list[Any]:
    """One at a time, so that nothing is padded."""
    if task == "sentence-embedding":
        from sentence_transformers import SentenceTransformer

        encoder = SentenceTransformer(model, device="cpu")
        return [normal(task, encoder.encode(item).tolist()) for item in items]
    from transformers import pipeline

    pipe = pipeline(task, model=model, device=-1)
    return [normal(task, _ask(pipe, item)) for item in items]


def _ask(pipe: Any, item: Any) -> Any:
    if isinstance(item, dict) and "prompt" in item:
        return pipe(item["prompt"], **item["parameters"])
    return pipe(**item) if isinstance(item, dict) else pipe(item)


def main() -> None:
    asked = json.load(sys.stdin)
    sys.stdout.write("\n" + json.dumps(answers(asked["task"], asked["model"], asked["items"])) + "\n")


if __name__ == "__main__":
    main()
