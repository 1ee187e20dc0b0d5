"""A line of the report in the making."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from perf.bench.analyzer import AnalyzerError
from perf.bench.ceiling import CeilingError
from perf.bench.measure import Round, Running
from perf.bench.wrk import WrkError


@dataclass
class Probe:
    """What is done once in each round, and what came of it."""

    about: dict[str, Any]
    """Its keys in the report."""
    go: Callable[[], Round]
    running: Running | None = None
    """The system that is asked; None where nothing is served."""
    rounds: list[Round] = field(default_factory=list)

    def entry(self) -> dict[str, Any]:
        """As it stands in the report's `measurements`."""
        return {**self.about, "rounds": self.rounds}

    def __str__(self) -> str:
        about = self.about
        load = f"{about['clients']} clients" if about["load"] == "closed" else about["variant"]
        if about["load"] == "open":
            load = f"{about['offered']:.0f} arrivals a second"
        return f"{about['system']} {about['precision']}, {load}"


def about(workload: str, system: str, precision: str, load: str, **more: Any) -> dict[str, Any]:
    """The keys of a line; those that are not given are empty."""
    known = {"clients": None, "offered": None, "fraction": None, "batch": None, "variant": ""}
    return {"workload": workload, "system": system, "precision": precision, "load": load, **known, **more}


def alternate(probes: Sequence[Probe], rounds: int, note: Callable[[str], None], step: Callable[[str], None]) -> None:
    """Do all probes in each round; every other round goes the other way, so that none has the same neighbours always.

    One that fails is left out of the report, and `note` gets a line. `step` gets what is being done.
    """
    failed: set[int] = set()
    for turn in range(rounds):
        for probe in probes if turn % 2 == 0 else probes[::-1]:
            if id(probe) in failed:
                continue
            step(f"round {turn + 1} of {rounds}: {probe}")
            if probe.running is not None:
                probe.running.thaw()
            try:
                probe.rounds.append(probe.go())
            except (AnalyzerError, CeilingError, WrkError, OSError) as error:
                # Targets compare round by round; a line with a hole in it would shift.
                failed.add(id(probe))
                probe.rounds.clear()
                note(f"{probe.about['workload']}: {probe} left out: {error}")
            finally:
                if probe.running is not None:
                    probe.running.freeze()


def most(probes: Iterable[Probe]) -> float | None:
    """The greatest median rate; None where nothing was measured."""
    return max((median(each["rate"] for each in probe.rounds) for probe in probes if probe.rounds), default=None)
