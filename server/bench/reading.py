"""A report.json as pages and tables read it: medians and ranges of its rounds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

FORMAT = 1
CEILING = "ceiling"


@dataclass(frozen=True)
class Stat:
    """Median and range of the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float | None]) -> Self | None:
        """None where no round has a value."""
        known = [value for value in values if value is not None]
        return cls(statistics.median(known), min(known), max(known)) if known else None


@dataclass(frozen=True, order=True)
class Series:
    """What makes one line of a plot: a system in one precision."""

    system: str
    precision: str


@dataclass(frozen=True)
class Measurement:
    """One point of the grid, with its rounds."""

    workload: str
    series: Series
    load: str
    """closed, open or batch."""
    clients: int | None
    offered: float | None
    fraction: float | None
    batch: int | None
    variant: str
    rounds: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        return cls(
            stored["workload"],
            Series(stored["system"], stored.get("precision", "fp32")),
            stored["load"],
            stored.get("clients"),
            stored.get("offered"),
            stored.get("fraction"),
            stored.get("batch"),
            stored.get("variant", ""),
            stored["rounds"],
        )

    def stat(self, name: str) -> Stat | None:
        return Stat.of(each.get(name) for each in self.rounds)

    def total(self, name: str) -> int:
        """The sum over the rounds."""
        return sum(each.get(name) or 0 for each in self.rounds)

    @cached_property
    def percentiles(self) -> list[tuple[float, Stat]]:
        """Percent and milliseconds, ascending."""
        found: dict[float, list[float]] = {}
        for each in self.rounds:
            for percent, value in each.get("percentiles") or []:
                if value is not None:
                    found.setdefault(percent, []).append(value)
        return [(percent, stat) for percent in sorted(found) if (stat := Stat.of(found[percent]))]


class Report:
    """A report, by what its readers ask of it. ValueError where it is of another format."""

    def __init__(self, stored: Mapping[str, Any]) -> None:
        if stored.get("format") != FORMAT:
            raise ValueError(f"the report has format {stored.get('format')}, this version reads {FORMAT}")
        self.stored = stored
        self.measurements = [Measurement.of(each) for each in stored.get("measurements", [])]
        self.systems = {each["name"]: each for each in stored.get("systems", [])}

    def part(self, name: str) -> list[dict[str, Any]]:
        """A list of the report; empty where it has none."""
        return list(self.stored.get(name) or [])

    @cached_property
    def workloads(self) -> list[str]:
        """Those measured, in the report's order."""
        listed = [each["name"] for each in self.part("workloads")]
        return list(dict.fromkeys(name for name in [*listed, *self._measured()] if name in self._measured()))

    def _measured(self) -> list[str]:
        return [each.workload for each in self.measurements]

    @cached_property
    def series(self) -> list[Series]:
        """Every line there can be, in the order of the systems."""
        order = list(self.systems)
        found = dict.fromkeys(each.series for each in self.measurements)
        return sorted(found, key=lambda each: (_place(order, each.system), each.precision))

    def label(self, series: Series) -> str:
        """What a legend calls it: with its precision where the report has several."""
        several = len({each.precision for each in self.series}) > 1
        return f"{series.system} {series.precision}" if several else series.system

    def what(self, workload: str) -> str:
        """A workload in words; empty where the report has none."""
        return next((each.get("what", "") for each in self.part("workloads") if each["name"] == workload), "")

    def pick(self, workload: str, load: str, series: Series | None = None) -> list[Measurement]:
        """By clients, then by what was offered."""
        found = [
            each
            for each in self.measurements
            if each.workload == workload and each.load == load and series in (None, each.series)
        ]
        return sorted(found, key=lambda each: (each.clients or 0, each.offered or 0, each.batch or 0))

    def best(self, workload: str, series: Series) -> Measurement | None:
        """The fastest batch and variant of a system that is not asked by clients, as the ceiling is."""
        rated = [(stat.median, each) for each in self.pick(workload, "batch", series) if (stat := each.stat("rate"))]
        return max(rated, key=lambda pair: pair[0])[1] if rated else None


def _place(order: Sequence[str], name: str) -> int:
    return order.index(name) if name in order else len(order)
