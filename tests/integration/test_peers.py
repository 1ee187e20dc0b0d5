"""Each peer, started as it is for measuring: its answers are the libraries' own, and nothing of it is left."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from perf.bench import models
from perf.bench.answers import difference
from perf.bench.peers import environment
from perf.bench.peers.infinity import Infinity
from perf.bench.peers.litserve import LitServe
from perf.bench.peers.pipeline import Pipeline
from perf.bench.peers.toolkit import Toolkit
from perf.bench.reference import answers
from perf.bench.workloads import Workload
from tests.models import texts

TEXTS = tuple(texts(24))
CLIENTS = 12


def installed(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        environment.existing(name) is None,
        reason=f"no environment of {name}: python -m perf.bench.peers.environments installs it",
    )


@pytest.fixture(scope="module")
def classes(built: Callable[..., Path]) -> Workload:
    folder = built("distilbert", num_labels=2)
    return Workload("tiny", "tiny", "text-classification", folder, TEXTS, "")


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    folder = models.ensure("minilm", tmp_path_factory.mktemp("minilm"))
    return Workload("minilm", "minilm", "sentence-embedding", folder, TEXTS, "")


def asked(system: Any, workload: Workload) -> list[Any]:
    """Its answers to all items, many at a time."""
    with httpx.Client(base_url=f"http://127.0.0.1:{system.port}", timeout=60) as client:

        def ask(item: str) -> Any:
            body, headers = system.body(item)
            response = client.post(system.path, content=body, headers=headers)
            assert response.status_code == 200, response.text
            return system.answer(response.content)

        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(ask, workload.items))


def prove(
    system: Any, workload: Workload, folder: Path, processes: int, ask: Callable[[Any, Workload], list[Any]] = asked
) -> None:
    """Start it, compare its answers and those to other texts, which must not pass, and stop it."""
    expected = answers(workload.task, str(workload.folder), list(workload.items))
    system.start(workload, folder)
    try:
        running = system.processes()
        assert len(running) >= processes
        found = ask(system, workload)
        others = ask(system, replace(workload, items=workload.items[1:] + workload.items[:1]))
    finally:
        system.stop()
    worst = [
        max(difference(workload.task, "fp32", one, other) for one, other in zip(expected, got, strict=True))
        for got in (found, others)
    ]
    assert worst[0] < 1e-4
    assert worst[1] > 1e-2
    assert [process for process in running if process.is_running()] == []
    assert system.processes() == []
    system.stop()


@installed("toolkit")
def test_toolkit(classes: Workload, tmp_path: Path) -> None:
    toolkit = Toolkit()
    prove(toolkit, classes, tmp_path, 2 + toolkit.workers)


@installed("toolkit")
def test_toolkit_embeds(embeddings: Workload, tmp_path: Path) -> None:
    prove(Toolkit(workers=1), embeddings, tmp_path, 3)


@installed("litserve")
def test_litserve(classes: Workload, tmp_path: Path) -> None:
    prove(LitServe(), classes, tmp_path, 3)


@installed("litserve")
def test_litserve_embeds(embeddings: Workload, tmp_path: Path) -> None:
    prove(LitServe(), embeddings, tmp_path, 3)


@installed("infinity")
def test_infinity(embeddings: Workload, tmp_path: Path) -> None:
    # Compiling takes minutes.
    prove(Infinity(compiled=False), embeddings, tmp_path, 1)


@installed("pipeline")
@pytest.mark.parametrize("batch", [1, 8])
def test_pipeline(classes: Workload, tmp_path: Path, batch: int) -> None:
    prove(Pipeline(), classes, tmp_path, 1, lambda system, workload: system.answers(workload.items, batch))


@installed("pipeline")
def test_pipeline_measures(classes: Workload, tmp_path: Path) -> None:
    pipeline = Pipeline()
    pipeline.start(classes, tmp_path)
    try:
        outcome = pipeline.measure(classes.items, 8, 0.5)
    finally:
        pipeline.stop()
    assert outcome.requests == sum(count for _, count in outcome.latencies) > 0
    assert outcome.seconds >= 0.5
    assert outcome.failed == outcome.broken == 0
