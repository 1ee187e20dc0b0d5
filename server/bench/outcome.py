"""What a load saw of an endpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

PERCENTS = (0.0, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.99, 100.0)


@dataclass
class Load:
    """The answers of a load, without those of its warm-up."""

    seconds: float = 0.0
    answered: int = 0
    """Right answers that came within those seconds."""
    latencies: list[float] = field(default_factory=list)
    """Seconds that right answers took. In an open loop, of what was due within those seconds, whenever it came."""
    responses: int = 0
    """Answers of any kind, with those of the warm-up and those that came late."""
    refusals: list[float] = field(default_factory=list)
    """Seconds until each 503."""
    retry_after: int = 0
    """Refusals that said when to come again."""
    statuses: Counter[int] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    """What else was wrong, and how often."""
    lateness: list[float] = field(default_factory=list)
    """Seconds that arrivals were sent late, for want of a free connection or of processor time."""

    @property
    def rate(self) -> float:
        """Right answers a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def errors(self) -> int:
        return self.problems.total()

    def percentile_ms(self, percent: float) -> float | None:
        """Milliseconds that so many percent of the right answers took at most; None where there are none."""
        return _ms(percentile(sorted(self.latencies), percent))

    def figures(self) -> dict[str, Any]:
        """As a round of a report has them; milliseconds are None where nothing was answered."""
        took = sorted(self.latencies)
        return {
            "requests": self.answered,
            "seconds": round(self.seconds, 3),
            "rate": round(self.rate, 2),
            **{f"p{percent}_ms": _ms(percentile(took, percent)) for percent in (50, 95, 99)},
            "errors": self.errors,
            "rejected": len(self.refusals),
            "percentiles": [[percent, _ms(percentile(took, percent))] for percent in PERCENTS] if took else [],
        }


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Of ascending values, interpolated between two; None where there are none."""
    if not ordered:
        return None
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
