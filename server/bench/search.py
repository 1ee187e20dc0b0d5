"""The search for the setting that answers the most requests within a bound on the 99th percentile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.bench.candidates import Candidate

MARGIN = 1.02
"""Times as good as what stands a setting must be to replace it: less may be chance."""
SETTLED = 1.03
"""Times the rate that more clients must bring for still more to be tried."""
CROWD = 8
"""Clients from which on that is asked of them: the rate of fewer jumps about."""


@dataclass(frozen=True)
class Score:
    """What a setting reached: the highest rate within the bound or, where nothing is within it, the lowest p99."""

    within: bool
    rate: float
    p99_ms: float
    clients: int

    def beats(self, other: Score, margin: float = MARGIN) -> bool:
        """Whether it is better by more than chance."""
        if self.within != other.within:
            return self.within
        return self.rate > other.rate * margin if self.within else self.p99_ms * margin < other.p99_ms


@dataclass(frozen=True)
class Trial:
    """A setting that was tried; without a score where it could not serve, for the reason."""

    candidate: Candidate
    score: Score | None
    problem: str = ""


Try = Callable[[Candidate], Trial | None]
"""None once there is no time left."""


def descend(start: Trial, layouts: Sequence[Candidate], bound: tuple[str, Sequence[int], int], attempt: Try) -> Trial:
    """The best setting found: first among the layouts, then step by step from the budget that `bound` begins at.

    `bound` is a parameter, its values in ascending order, and the place of the one that is in force.
    """
    best = start
    for layout in layouts:
        trial = attempt(layout)
        if trial is None:
            return best
        best = _better(best, trial)
    name, steps, at = bound
    for direction in (1, -1):
        before = best
        place = at + direction
        while 0 <= place < len(steps):
            trial = attempt(best.candidate.having({name: steps[place]}))
            if trial is None:
                return best
            if _better(best, trial) is best:
                break
            best, place = trial, place + direction
        if best is not before:
            break  # what is better upwards is not better downwards
    return best


def climb(
    measure: Callable[[int], tuple[float, float | None]], most: int, bound_ms: float, first: int = 1
) -> Score | None:
    """How far clients can go up within a bound, in doublings and one step back; None where nothing is answered.

    `measure` gives the rate and the 99th percentile in ms that so many clients see, None where none was answered. It is
    asked about `first` first, and about fewer where those are too many.
    """
    best: Score | None = None
    low, high, flat, peak = 0, most + 1, 0, 0.0
    clients = min(first, most)
    while clients:
        rate, p99 = measure(clients)
        if p99 is None:
            break
        score = Score(p99 <= bound_ms, rate, p99, clients)
        best = score if best is None or score.beats(best, 1.0) else best
        between = low and high <= most
        if score.within:
            low = clients
            flat = 0 if rate > peak * SETTLED or clients < CROWD else flat + 1
            peak = max(peak, rate)
        else:
            high = clients
        if between or flat == 2:
            break
        clients = _next(low, high, most)
    return best


def _next(low: int, high: int, most: int) -> int:
    """The clients to ask about where `low` are within the bound and `high` beyond it; 0 where none are left."""
    if not low:
        return high // 2
    if high > most:
        return min(2 * low, most) if low < most else 0
    return (low + high) // 2 if high - low > 1 else 0


def _better(best: Trial, trial: Trial) -> Trial:
    if trial.score is None:
        return best
    return trial if best.score is None or trial.score.beats(best.score) else best
