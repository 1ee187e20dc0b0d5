"""What a long text costs the short ones beside it, counted in tokens that are computed before they are answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huggingface_backend.engine import Engine
from huggingface_backend.manifest import TOKENIZER, Manifest
from huggingface_backend.session import Counters
from huggingface_backend.tasks import TASKS
from huggingface_backend.tokenization import TextTokenizer
from tests.models import texts

LONG = " ".join(["fox"] * 400)
SHORTS = texts(10, longest=3)


@dataclass
class Graph:
    """In the place of a session: a run takes as long as it has tokens, padding included, by a clock of its own."""

    lanes: int = 1
    spreads: bool = False
    clock: int = 0
    counters: Counters = field(default_factory=Counters)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)

    def run(self, batch: Any, *, wide: bool = True) -> list[Any]:
        self.clock += batch.tokens
        self.entered.set()
        assert self.gate.wait(30)
        self.counters.ran(batch.rows, batch.tokens)
        return [np.zeros((batch.rows, 3), np.float32)]

    @contextmanager
    def busy(self, engine: Engine, inputs: str) -> Iterator[None]:
        """A text is in the graph until the end of the block."""
        self.gate.clear()
        self.entered.clear()
        ended = threading.Event()
        engine.submit(inputs, {}, lambda _outcome: ended.set())
        assert self.entered.wait(30)
        yield
        self.clock = 0
        self.gate.set()
        assert ended.wait(30)


@pytest.fixture(params=[256, 512, 2048, 8192], ids=lambda budget: f"budget of {budget}")
def graph_and_engine(
    convert: Any, built: Callable[..., Path], request: pytest.FixtureRequest
) -> Iterator[tuple[Graph, Engine]]:
    folder = convert(built("bert", num_labels=3)).path / "1"
    manifest = replace(Manifest.read(folder), max_tokens=None)
    graph = Graph()
    graph.gate.set()
    task = TASKS[manifest.task](manifest, TextTokenizer(folder / TOKENIZER, manifest.tokenizer))
    engine = Engine(task, graph, token_budget=request.param)  # type: ignore[arg-type]
    yield graph, engine
    engine.close()


def answered(graph: Graph, engine: Engine, inputs: list[str], first: str = "tea") -> list[int]:
    """The clock at each answer, for texts that all wait when the run of another one ends."""
    at: list[int] = [0] * len(inputs)
    done = threading.Semaphore(0)

    def settle(index: int) -> Callable[[object], None]:
        def keep(outcome: object) -> None:
            assert isinstance(outcome, list), outcome
            at[index] = graph.clock
            done.release()

        return keep

    with graph.busy(engine, first):
        for index, text in enumerate(inputs):
            engine.submit(text, {}, settle(index))
    for _ in inputs:
        assert done.acquire(timeout=30)
    return at


@pytest.mark.parametrize("count", [1, 3, 10])
@pytest.mark.parametrize("place", ["before", "among", "behind"])
def test_held_up_by_no_more_than_its_own_time(graph_and_engine: tuple[Graph, Engine], count: int, place: str) -> None:
    graph, engine = graph_and_engine
    shorts = SHORTS[:count]
    at = {"before": 0, "among": count // 2, "behind": count}[place]
    [own] = answered(graph, engine, [LONG])
    without = answered(graph, engine, shorts)
    with_it = answered(graph, engine, [*shorts[:at], LONG, *shorts[at:]])
    long = with_it.pop(at)
    assert own == 402
    for held, free in zip(with_it, without, strict=True):
        assert held - free <= own
    # Nor does it pay for them with more than what they take.
    assert long <= own + 2 * max(without)


def test_those_that_come_meanwhile_are_next(graph_and_engine: tuple[Graph, Engine]) -> None:
    graph, engine = graph_and_engine
    # One long text runs and another waits when the short ones come.
    second, *shorts = answered(graph, engine, [LONG + " tea", *SHORTS], first=LONG)
    assert max(shorts) < second
