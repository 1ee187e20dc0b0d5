"""What the peers are asked, and how their answers are read; tests/integration/test_peers.py starts them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from perf.bench.peers import PEERS
from perf.bench.peers.infinity import Infinity
from perf.bench.peers.inside import pipeline as inside
from perf.bench.peers.pipeline import Pipeline
from perf.bench.peers.toolkit import Toolkit, layouts
from perf.bench.system import Unavailable
from perf.bench.workloads import Workload
from perf.bench.wrk import Outcome


def work(task: str) -> Workload:
    return Workload("w", "m", task, Path("/nowhere"), ("tea",), "")


def test_names_and_tasks() -> None:
    tasks = ("text-classification", "sentence-embedding", "question-answering", "image-classification")
    taken = {name: [task for task in tasks if kind().takes(work(task))] for name, kind in PEERS.items()}
    assert {name: kind().name for name, kind in PEERS.items()} == {name: name for name in PEERS}
    assert taken == {
        "toolkit": list(tasks),
        "litserve": list(tasks[:2]),
        "infinity": ["sentence-embedding"],
        "pipeline": list(tasks),
    }


def test_what_a_peer_does_not_do_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"^infinity does not do text-classification$"):
        Infinity().start(work("text-classification"), tmp_path)


def test_toolkit_says_its_workers() -> None:
    assert Toolkit().version.endswith("2.6.0 on multi-model-server 1.1.11, 2 workers × 1 thread")
    assert Toolkit(1, None).version.endswith("1 worker × torch's own threads")
    assert Toolkit(1, 2).version.endswith("1 worker × 2 threads")


def test_toolkit_embedding_is_the_mean_of_its_tokens() -> None:
    toolkit = Toolkit()
    toolkit._task = "sentence-embedding"
    answer = toolkit.answer(json.dumps([[[3.0, 0.0], [0.0, 4.0], [3.0, 0.0]]]).encode())
    assert answer == pytest.approx([6 / math.hypot(6, 4), 4 / math.hypot(6, 4)])
    assert answer != pytest.approx([1.0, 0.0])


def test_toolkit_keeps_its_best_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perf.bench.peers.toolkit.os.sched_getaffinity", lambda _: {0, 1})
    assert layouts() == [(1, None), (1, 1), (1, 2), (2, None), (2, 1), (2, 2)]
    steps: list[Any] = []
    monkeypatch.setattr(Toolkit, "start", lambda self, workload, folder: steps.append(folder.is_dir()))
    monkeypatch.setattr(Toolkit, "stop", lambda self: steps.append("stop"))
    toolkit = Toolkit()
    rates = toolkit.tune(work("text-classification"), tmp_path, lambda it: 10.0 * it.workers - (it.threads or 5))
    assert rates[1, None] == 5.0
    assert (toolkit.workers, toolkit.threads) == (2, 1)
    assert steps == [True, "stop"] * 6


def test_infinity_is_asked_as_openai_is() -> None:
    infinity = Infinity(compiled=False)
    body, headers = infinity.body("tea")
    assert json.loads(body) == {"model": "measured", "input": ["tea"]}
    assert headers == {"Content-Type": "application/json"}
    assert infinity.answer(b'{"data": [{"index": 0, "embedding": [1, 0.5]}]}') == [1.0, 0.5]
    assert infinity.version.endswith("not compiled")
    command = infinity.command(Path("/bin/python"), work("sentence-embedding"))
    assert "--no-compile" in command
    assert "--no-vector-disk-cache" in command


def test_pipeline_tries_batches_up_to_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[int, float]] = []

    def measure(_: Pipeline, __: Any, batch: int, seconds: float) -> Outcome:
        tried.append((batch, seconds))
        return Outcome({1: 10, 8: 90, 32: 60}[batch], 1.0, 0, 0, (), 0.0)

    monkeypatch.setattr(Pipeline, "_measure", measure)
    pipeline = Pipeline()
    assert pipeline.batch(32) is None
    assert pipeline.measure(["tea"], 32, 7.0).rate == 90
    assert pipeline.measure(["tea"], 32, 7.0).rate == 90
    assert pipeline.batch(32) == 8
    assert [batch for batch, seconds in tried if seconds == 7.0] == [8, 8]
    assert sorted(batch for batch, seconds in tried if seconds < 7.0) == [8, 32]
    tried.clear()
    pipeline.measure(["tea"], 1, 7.0)
    assert {batch for batch, _ in tried} == {1}


def test_measuring_goes_round_the_items() -> None:
    seen: list[list[str]] = []

    def run(rows: list[str]) -> list[str]:
        seen.append(rows)
        return rows

    found = inside.measure(run, ["a", "b", "c"], 2, 0.01)
    assert seen[:3] == [["a", "b"], ["c", "a"], ["b", "c"]]
    assert sum(count for _, count in found["latencies"]) == 2 * len(seen)
    assert found["seconds"] >= 0.01
    assert inside.answers(run, ["a", "b", "c"], 2) == ["a", "b", "c"]
