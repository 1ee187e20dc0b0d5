"""A grid of loads on one endpoint, and the report of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from server.bench import machine
from server.bench.connection import Shot
from server.bench.endpoint import Endpoint
from server.bench.load import closed_loop, open_loop
from server.bench.outcome import Load
from server.bench.reading import FORMAT
from server.bench.watch import Cost, Watch

WARM_UP = 0.2
"""Of the seconds of a measurement."""


@dataclass(frozen=True)
class Point:
    """A load: so many clients, or so many arrivals a second."""

    clients: int | None = None
    rate: float | None = None

    def __str__(self) -> str:
        if self.clients is None:
            return f"{self.rate:g} arrivals/s"
        return f"{self.clients} client{'' if self.clients == 1 else 's'}"

    def run(self, endpoint: Endpoint, shots: Sequence[Shot], seconds: float) -> Load:
        """OSError where no connection can be made."""
        warm_up = WARM_UP * seconds
        if self.clients is not None:
            return closed_loop(endpoint.target, shots, self.clients, seconds, warm_up=warm_up)
        assert self.rate is not None  # noqa: S101
        return open_loop(endpoint.target, shots, self.rate, seconds, warm_up=warm_up)


@dataclass
class Rounds:
    """What was measured at one point."""

    point: Point
    costs: list[Cost] = field(default_factory=list)

    def measurement(self, workload: str, system: str, precision: str = "fp32") -> dict[str, Any]:
        """As a report has it."""
        return {
            "workload": workload,
            "system": system,
            "precision": precision,
            "load": "open" if self.point.clients is None else "closed",
            "clients": self.point.clients,
            "offered": self.point.rate,
            "fraction": None,
            "batch": None,
            "variant": "",
            "rounds": [cost.round for cost in self.costs],
        }

    def stages(self, workload: str, system: str) -> dict[str, Any] | None:
        """As a report has them, from the last round; None where the server does not tell."""
        last = self.costs[-1]
        if self.point.clients is None or last.wall_ms is None:
            return None
        return {
            "workload": workload,
            "system": system,
            "clients": self.point.clients,
            "wall_ms": _rounded(last.wall_ms),
            **({"cpu_us": _rounded(last.cpu_us)} if last.cpu_us else {}),
        }

    @property
    def problem(self) -> str | None:
        """What was wrong most often; None where nothing was."""
        counts: dict[str, int] = {}
        for cost in self.costs:
            for problem, times in cost.load.problems.items():
                counts[problem] = counts.get(problem, 0) + times
        return max(counts, key=lambda problem: counts[problem]) if counts else None

    @property
    def answered(self) -> int:
        return sum(cost.load.answered for cost in self.costs)


def grid(
    endpoint: Endpoint,
    shots: Sequence[Shot],
    points: Sequence[Point],
    seconds: float,
    rounds: int,
    tell: Callable[[int, Point], None],
) -> list[Rounds]:
    """Measure every point in each round. `tell` gets the round, from 1, and the point before each."""
    watch, found = Watch(endpoint), [Rounds(point) for point in points]
    for number in range(1, rounds + 1):
        for each in found:
            tell(number, each.point)
            point = each.point
            each.costs.append(watch.over(lambda point=point: point.run(endpoint, shots, seconds)))  # type: ignore[misc]
    return found


def report(title: str, rounds: int, seconds: float) -> dict[str, Any]:
    """A report's beginning, with nothing measured."""
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": False,
        "rounds": rounds,
        "seconds": seconds,
        "title": title,
        "machine": machine.describe(),
        "workloads": [],
        "systems": [],
        "measurements": [],
        "stages": [],
        "targets": [],
        "checks": [],
    }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
