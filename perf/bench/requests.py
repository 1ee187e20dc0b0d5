"""Workload items as requests of the SageMaker toolkit's kind, which ours and others take, and its answers read."""

from __future__ import annotations

import json
import mimetypes
from pathlib import Path
from typing import Any

JSON = {"Content-Type": "application/json"}


def body(item: Any) -> tuple[bytes, dict[str, str]]:
    """What /invocations takes for an item."""
    if isinstance(item, Path):
        kind = mimetypes.guess_type(item.name)[0] or "application/octet-stream"
        return item.read_bytes(), {"Content-Type": kind}
    if isinstance(item, str):
        return json.dumps({"inputs": item}).encode(), JSON
    if "prompt" in item:
        return json.dumps({"inputs": item["prompt"], "parameters": item["parameters"]}).encode(), JSON
    return json.dumps({"inputs": item}).encode(), JSON


def answer(task: str, response: bytes) -> Any:
    """An answer of `transformers.pipeline`'s shape as JSON, as `System.answer` gives it."""
    return normal(task, json.loads(response))


def normal(task: str, found: Any) -> Any:
    """The same for an answer that is no JSON any more."""
    if task == "sentence-embedding":
        while isinstance(found[0], list):
            found = found[0]
        return [float(value) for value in found]
    while isinstance(found, list) and isinstance(found[0], list):
        found = found[0]
    if task in ("text-classification", "image-classification"):
        entries = found if isinstance(found, list) else [found]
        return {entry["label"]: float(entry["score"]) for entry in entries}
    if isinstance(found, list):
        found = found[0]
    if task == "question-answering":
        return {"answer": found["answer"], "score": float(found["score"])}
    return str(found["generated_text"])
