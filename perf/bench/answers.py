"""Answers of all systems to the same items, held against the libraries' own before anything is timed."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from perf.bench import workloads
from perf.bench.peers.pipeline import Pipeline

if TYPE_CHECKING:
    from perf.bench.system import System
    from perf.bench.workloads import Workload

TOLERANCES = {
    ("sentence-embedding", "fp32"): 1e-5,
    ("text-classification", "fp32"): 1e-4,
    ("image-classification", "fp32"): 1e-4,
    ("question-answering", "fp32"): 1e-3,
    ("text-generation", "fp32"): 0.0,
    ("sentence-embedding", "int8"): 0.05,
    ("text-classification", "int8"): 0.25,
}
"""The greatest `difference` by task and precision. Numbers of an embedding are about 0.05; int8's go by direction."""
_COUNTS = {"question-answering": 24, "image-classification": 24, "text-generation": 4}
_COUNT = 48
_ALONE, _TOGETHER = 8, 16
"""Requests that are sent one by one, and clients that then send all at once."""


class Different(Exception):
    """A system answers otherwise than the reference, or not at all; one line."""


def sample(workload: Workload) -> list[Any]:
    """Items that are compared: of the workload, and for texts some of mixed lengths, so that batches are mixed."""
    count = _COUNTS.get(workload.task, _COUNT)
    items = list(workload.items[:count])
    if isinstance(items[0], str):
        items += workloads.mixed_texts(count)
    return items


def reference(workload: Workload, root: Path) -> list[Any]:
    """What transformers.pipeline, or sentence-transformers, answers to each item of the sample, one at a time.

    Kept below `root`. RuntimeError where the libraries fail.
    """
    items = [str(item) if isinstance(item, Path) else item for item in sample(workload)]
    asked = {"task": workload.task, "model": str(workload.folder), "items": items}
    key = hashlib.sha256(json.dumps([asked, version("transformers"), version("torch")]).encode()).hexdigest()[:16]
    kept = root / "reference" / f"{workload.name}-{key}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "perf.bench.reference"],
            cwd=Path(__file__).parents[2],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"the reference of {workload.name} failed: {done.stderr.strip().splitlines()[-1]}")
        kept.write_text(done.stdout.strip().splitlines()[-1], "utf-8")
    found: list[Any] = json.loads(kept.read_text("utf-8"))
    return found


def difference(task: str, precision: str, expected: Any, got: Any) -> float:
    """How far an answer is from the expected one: 0 for equal, infinity where they cannot be compared.

    Embeddings: the greatest difference of two numbers, for int8 one less the cosine. Scores: their greatest difference.
    A question's answer has to be the same text; its score counts by its share. A text is equal or not.
    """
    if task == "sentence-embedding":
        return _embeddings(expected, got, by_direction=precision == "int8")
    if task in ("text-classification", "image-classification"):
        return _scores(expected, got)
    if task == "question-answering":
        if expected["answer"] != got["answer"]:
            return math.inf
        return float(abs(expected["score"] - got["score"]) / max(abs(expected["score"]), 1e-12))
    return 0.0 if expected == got else math.inf


def _embeddings(expected: Sequence[float], got: Sequence[float], *, by_direction: bool) -> float:
    if len(expected) != len(got):
        return math.inf
    if not by_direction:
        return max(abs(a - b) for a, b in zip(expected, got, strict=True))
    return 1 - _product(expected, got) / math.sqrt(_product(expected, expected) * _product(got, got))


def _scores(expected: dict[str, float], got: dict[str, float]) -> float:
    """Of two labels the score of one tells that of the other, which a system may leave out."""
    shared = expected.keys() & got.keys()
    if shared:
        return max(abs(expected[label] - got[label]) for label in shared)
    if len(expected) == len(got) == 1:
        return abs(sum(expected.values()) - (1 - sum(got.values())))
    return math.inf


def check(system: System, workload: Workload, precision: str, expected: Sequence[Any]) -> dict[str, Any]:
    """Ask a running system, one by one and all at once, and compare; an entry of the report's `checks`.

    Different where it fails a request.
    """
    found = (_directly if isinstance(system, Pipeline) else _over_http)(system, workload, precision, expected)
    tolerance, worst = TOLERANCES[workload.task, precision], max(found)
    return {
        "workload": workload.name,
        "system": system.name,
        "precision": precision,
        "against": "sentence-transformers" if workload.task == "sentence-embedding" else "transformers.pipeline",
        "max_difference": worst if math.isfinite(worst) else None,
        "tolerance": tolerance,
        "ok": worst <= tolerance,
    }


def _directly(system: Any, workload: Workload, precision: str, expected: Sequence[Any]) -> list[float]:
    """One that has no port, alone and in batches."""
    items = sample(workload)
    found = system.answers(items[:_ALONE]) + system.answers(items, batch=_ALONE)
    pairs = zip([*expected[:_ALONE], *expected], found, strict=True)
    return [difference(workload.task, precision, *pair) for pair in pairs]


def _over_http(system: System, workload: Workload, precision: str, expected: Sequence[Any]) -> list[float]:
    items = sample(workload)
    with httpx.Client(base_url=f"http://127.0.0.1:{system.port}", timeout=600) as client:

        def ask(index: int) -> float:
            body, headers = system.body(items[index])
            response = client.post(system.path, content=body, headers=headers)
            if response.status_code != 200:
                raise Different(
                    f"{system.name} answers {workload.name} with {response.status_code}: {response.text[:200]}"
                )
            return difference(workload.task, precision, expected[index], system.answer(response.content))

        found = [ask(index) for index in range(min(_ALONE, len(items)))]
        with ThreadPoolExecutor(_TOGETHER) as pool:
            return found + list(pool.map(ask, range(len(items))))


def _product(first: Sequence[float], second: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))
