"""Runs in the pipeline's environment: MODEL TASK; a line of JSON on stdin is a command, one on stdout its result.

{"items", "batch"} gives the answers; with "seconds" {"seconds", "latencies": [[microseconds, answers], …]}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

Batch = Callable[[list[Any]], list[Any]]


def load(model: str, task: str) -> Batch:
    """What answers a list of items as one batch."""
    if task == "sentence-embedding":
        from sentence_transformers import SentenceTransformer

        encoder = SentenceTransformer(model, device="cpu")
        return lambda items: list(encoder.encode(items, batch_size=len(items), show_progress_bar=False).tolist())
    from transformers import pipeline

    pipe: Any = pipeline(task, model=model, device=-1)
    if task == "text-generation":
        # What a batch of prompts needs for right answers.
        pipe.tokenizer.padding_side = "left"
        pipe.tokenizer.pad_token = pipe.tokenizer.pad_token or pipe.tokenizer.eos_token

    def answer(items: list[Any]) -> list[Any]:
        if isinstance(items[0], dict) and "prompt" in items[0]:
            prompts = [item["prompt"] for item in items]
            return list(pipe(prompts, batch_size=len(items), **items[0]["parameters"]))
        found = pipe(items, batch_size=len(items))
        # Of one question it gives no list.
        return list(found) if isinstance(found, list) else [found]

    return answer


def answers(run: Batch, items: list[Any], batch: int) -> list[Any]:
    return [found for at in range(0, len(items), batch) for found in run(items[at : at + batch])]


def measure(run: Batch, items: list[Any], batch: int, seconds: float) -> dict[str, Any]:
    """One batch after the other, over and over the items."""
    latencies: Counter[int] = Counter()
    began = now = time.perf_counter()
    at = 0
    while now - began < seconds:
        rows = [items[(at + offset) % len(items)] for offset in range(batch)]
        at += batch
        run(rows)
        before, now = now, time.perf_counter()
        latencies[round((now - before) * 1e6)] += batch
    return {"seconds": now - began, "latencies": sorted(latencies.items())}


def main(model: str, task: str) -> None:
    # What libraries print must not come between the results.
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    run = load(model, task)
    for line in sys.stdin:
        asked = json.loads(line)
        if "seconds" in asked:
            found: Any = measure(run, asked["items"], asked["batch"], asked["seconds"])
        else:
            found = answers(run, asked["items"], asked["batch"])
        results.write(json.dumps(found) + "\n")
        results.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
