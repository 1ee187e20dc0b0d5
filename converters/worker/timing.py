"""How fast graphs are where they are converted, run as the engine runs them: each run on one core, all cores busy."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime

from huggingface_backend.batches import Batch, PixelBatch, Pixels
from huggingface_backend.session import Session

_SHAPES = ((1, 16), (16, 16), (4, 128))
_PICTURES = (1, 4)
_ROUNDS = 4

BUDGETS = (256, 512, 1024, 2048, 4096)
NEAR = 0.97
"""Of the best rate: the smallest budget that comes so near is chosen, since smaller runs answer sooner."""
PATIENCE = 10.0
"""Seconds that all budgets may take; those that would take longer are not tried."""
_LENGTHS = {"short": 16, "long": 128}
_TRIES, _ENOUGH, _AMPLE = 3, 0.1, 0.5
"""Runs at least and seconds of them at least; seconds after which even one run is enough."""

AnyBatch = Batch | PixelBatch


# On a card the processor only waits.
_clock = time.perf_counter if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else time.thread_time


def time_graphs(
    graphs: Mapping[str, Path], longest: int | None, image: Pixels | None = None, rounds: int = _ROUNDS
) -> dict[str, float]:
    """Milliseconds of a core that each graph takes for one run of every shape: medians of alternating rounds.

    `longest` is the most tokens that the graphs take; `image` is one of what they take in place of tokens.
    """
    sessions = {name: Session(path, threads=1) for name, path in graphs.items()}
    if image is not None:
        batches: list[AnyBatch] = [PixelBatch.of([image] * rows) for rows in _PICTURES]
    else:
        batches = [_batch(rows, min(tokens, longest or tokens)) for rows, tokens in _SHAPES]
    times: dict[str, list[list[float]]] = {name: [[] for _ in batches] for name in sessions}
    with _Cores() as cores:
        for turn in range(rounds + 1):
            for name, session in sessions.items():
                for index, batch in enumerate(batches):
                    took = cores.run(session, batch)
                    if turn:
                        times[name][index].append(took)
    return {name: round(1e3 * sum(map(statistics.median, shapes)), 3) for name, shapes in times.items()}


def find_budget(
    graph: Path, longest: int | None, image: Pixels | None = None, patience: float = PATIENCE
) -> tuple[int, dict[str, dict[int, float]]]:
    """The token budget, and its evidence: rows a second of one core by budget, for short and for long rows.

    Budgets are tried in ascending order, as long as `patience` seconds allow; 0 where they allow no two.
    """
    session = Session(graph, threads=1)
    kinds = {"images": len(image)} if image is not None else _LENGTHS
    best: dict[str, dict[int, float]] = {kind: {} for kind in kinds}
    ends = time.monotonic() + patience
    with _Cores() as cores:
        cores.run(session, _rows(1, next(iter(kinds.values())), longest, image))
        for budget in BUDGETS:
            began = time.monotonic()
            for kind, tokens in kinds.items():
                length = min(tokens, longest or tokens)
                batch = _rows(max(1, budget // length), length, longest, image)
                best[kind][budget] = round(batch.rows / cores.least(session, batch), 1)
            now = time.monotonic()
            if now + 2 * (now - began) > ends:
                break
    tried = len(next(iter(best.values())))
    return choose_budget(best) if tried > 1 else 0, best


def choose_budget(rates: Mapping[str, Mapping[int, float]]) -> int:
    """The smallest budget that is near the best for every kind of rows."""
    budgets = sorted(next(iter(rates.values())))
    near = [budget for budget in budgets if all(kind[budget] >= NEAR * max(kind.values()) for kind in rates.values())]
    return near[0] if near else budgets[-1]


class _Cores:
    """A thread a core, which run the same at the same time."""

    def __init__(self) -> None:
        self._count = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._count)

    def __enter__(self) -> _Cores:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def run(self, session: Session, batch: AnyBatch) -> float:
        """Seconds of processor time that one of the runs took, their mean; what else the machine does is not in it."""

        def once() -> float:
            began = _clock()
            session.run(batch)
            return _clock() - began

        return statistics.fmean(pending.result() for pending in [self._pool.submit(once) for _ in range(self._count)])

    def least(self, session: Session, batch: AnyBatch) -> float:
        """The least of several runs."""
        took = [self.run(session, batch)]
        while sum(took) < _AMPLE and (len(took) < _TRIES or sum(took) < _ENOUGH):
            took.append(self.run(session, batch))
        return min(took)


def _rows(rows: int, tokens: int, longest: int | None, image: Pixels | None) -> AnyBatch:
    return PixelBatch.of([image] * rows) if image is not None else _batch(rows, min(tokens, longest or tokens))


def _batch(rows: int, tokens: int) -> Batch:
    shape = (rows, tokens)
    return Batch(np.ones(shape, np.int64), np.ones(shape, np.int64), np.zeros(shape, np.int64), [tokens] * rows)
