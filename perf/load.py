"""Closed-loop clients whose every answer is compared with the one known before, over `server.bench.load`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context

from server.bench import connection
from server.bench.load import closed_loop
from tests.toolkit.cases import Answer
from tests.toolkit.compare import difference


@dataclass(frozen=True)
class Shot:
    """A request and its answer, as known before measuring."""

    headers: dict[str, str]
    body: bytes
    answer: Answer
    path: str = "/invocations"


@dataclass
class Round:
    """What the clients saw."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Of right answers."""
    wrong: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def median_ms(self) -> float:
        return statistics.median(self.latencies) * 1000

    @property
    def p99_ms(self) -> float:
        """What one answer in a hundred takes longer than."""
        return sorted(self.latencies)[int(0.99 * len(self.latencies))] * 1000


@dataclass(frozen=True)
class _Known(connection.Shot):
    """What is sent, with what must come back."""

    answer: Answer | None = None


def spread(values: Sequence[float], digits: int) -> str:
    """Median, and the range of the rounds."""
    middle, low, high = (f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low}–{high})"


def measure(port: int, shots: Sequence[Shot], clients: int, seconds: float) -> Round:
    """Let clients ask for some seconds, from a process of their own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_run, port, list(shots), clients, seconds).result()


def _run(port: int, shots: list[Shot], clients: int, seconds: float) -> Round:
    known = [_Known(shot.body, shot.headers, shot.path, shot.answer) for shot in shots]
    load = closed_loop(port, known, clients, seconds, check=_problem)
    wrong = list(load.problems.elements()) + ["503: refused"] * len(load.refusals)
    return Round(load.seconds, load.latencies, wrong)


def _problem(shot: connection.Shot, status: int, content_type: str, body: bytes) -> str | None:
    assert isinstance(shot, _Known) and shot.answer is not None
    expected = shot.answer
    if (status, body) == (expected.status, expected.body):
        return None
    # Batches of other sizes move the last digits.
    return difference(expected, Answer(status, content_type, expected.headers, body))
