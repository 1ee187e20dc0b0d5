"""The measurement of one workload: everything started, answers compared, then rounds in which all take turns."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from perf.bench import answers
from perf.bench.analyzer import Analyzer
from perf.bench.ceilings import Ceilings
from perf.bench.grid import MOST_SECONDS, Plan
from perf.bench.measure import Running
from perf.bench.ours import Ours
from perf.bench.peers.toolkit import Toolkit
from perf.bench.probe import Probe, about, alternate, most
from perf.bench.stages import stages
from perf.bench.system import System, Unavailable
from perf.bench.workloads import Workload

GRPC = "ours-grpc"
AT_TOOLKITS = "the toolkit's maximum"
"""The variant of ours under arrivals at the toolkit's greatest rate."""
_ENOUGH = 20
"""Arrivals that an open loop has, at least."""
_TUNING_CLIENTS = 8


class Course:
    """One workload from start to end."""

    def __init__(
        self,
        workload: Workload,
        plan: Plan,
        root: Path,
        scratch: Path,
        seconds: float,
        note: Callable[[str], None],
        step: Callable[[str], None],
    ) -> None:
        """`seconds` are one measurement's. `note` gets lines for the reader, `step` what is being done."""
        self.checks: list[dict[str, Any]] = []
        self.measurements: list[dict[str, Any]] = []
        self.stages: list[dict[str, Any]] = []
        self.versions: dict[str, str] = {}
        """Of the systems that ran."""
        self._workload, self._plan = workload, plan
        self._root, self._scratch = root, scratch
        self._seconds, self._note, self._step = seconds, note, step
        self._analyzer = Analyzer(root)
        self._running: list[Running] = []

    def run(self, systems: Sequence[tuple[System, str]], rounds: int, *, ceiling: bool, tune: bool) -> None:
        """Measure systems, each with its precision; `tune` looks for the toolkit's best workers and threads first.

        Different where answers differ, CeilingError and RuntimeError where something fails that has to be there.
        """
        rounds = min(rounds, self._plan.rounds)
        with ExitStack() as stack:
            for system, precision in systems:
                if system.takes(self._workload):
                    self._start(system, precision, stack, tune=tune)
            self._compare()
            ceilings = Ceilings(self._workload, self._plan, self._seconds, stack, self._note, self._step)
            bare = list(ceilings.probes(self._root, self._entries())) if ceiling else []
            self.checks += ceilings.checks
            for running in self._running:
                self._warm_up(running)
            closed = list(self._closed())
            alternate([*bare, *closed], rounds, self._note, self._step)
            opened = list(self._open(closed))
            alternate(opened, rounds, self._note, self._step)
            self.measurements += [probe.entry() for probe in (*bare, *closed, *opened) if probe.rounds]
            self.stages += [each for running in self._running for each in stages(running, self._plan.clients)]

    def _entries(self) -> dict[str, Path]:
        """Our conversions of the model by precision."""
        return {
            running.precision: running.system.entry
            for running in self._running
            if isinstance(running.system, Ours) and running.system.entry is not None
        }

    def _start(self, system: System, precision: str, stack: ExitStack, *, tune: bool) -> None:
        try:
            if tune and isinstance(system, Toolkit):
                self._tune(system)
            self._step(f"starting {system.name} {precision}")
            system.start(self._workload, folder := self._folder(f"{system.name}-{precision}"))
        except Unavailable as error:
            self._note(f"{self._workload.name}: without {system.name} {precision}: {error}")
            return
        stack.callback(system.stop)
        self.versions[system.name] = system.version
        running = Running(system, self._workload, precision, folder, self._analyzer)
        stack.callback(running.thaw)
        self._running.append(running)

    def _tune(self, toolkit: Toolkit) -> None:
        self._step("looking for the toolkit's best workers and threads")

        def rate(started: Toolkit) -> float:
            folder = self._folder(f"tuning-{started.workers}-{started.threads}")
            running = Running(started, self._workload, "fp32", folder, self._analyzer)
            # Its workers load the model with their first requests.
            running.warm_up(_TUNING_CLIENTS)
            return float(running.closed(_TUNING_CLIENTS, self._seconds, slow=True)["rate"])

        found = toolkit.tune(self._workload, self._folder("tuning"), rate)
        said = ", ".join(f"{workers} × {threads or 'own'} {rate:.0f}/s" for (workers, threads), rate in found.items())
        self._note(f"the toolkit by workers × threads, {_TUNING_CLIENTS} clients: {said}")

    def _folder(self, name: str) -> Path:
        folder = self._scratch / f"{self._workload.name}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _compare(self) -> None:
        self._step("working out the reference's answers")
        expected = answers.reference(self._workload, self._root)
        for running in self._running:
            self._step(f"comparing the answers of {running.system.name} {running.precision}")
            found = answers.check(running.system, self._workload, running.precision, expected)
            self.checks.append(found)
            if not found["ok"]:
                raise answers.Different(
                    f"{found['system']} {running.precision} answers {self._workload.name} otherwise than "
                    f"{found['against']}: by {found['max_difference']}, where {found['tolerance']} is allowed"
                )

    def _warm_up(self, running: Running) -> None:
        name = f"{running.system.name} {running.precision}"
        self._step(f"warming {name}")
        running.warm_up(4 if self._workload.task == "text-generation" else 32)
        if running.spins:
            running.freeze()
            self._note(
                f"{self._workload.name}: {name} spins with nothing to do; it is stopped while others are measured"
            )

    def _closed(self) -> Iterable[Probe]:
        plan, name = self._plan, self._workload.name
        for clients in sorted({*plan.clients, *plan.grpc, *plan.int8, *plan.peers, *plan.toolkit}):
            for running in self._running:
                turns = plan.turns if isinstance(running.system, Ours) else 1
                seconds = min(max(self._seconds, turns * clients / running.about), MOST_SECONDS)
                system, precision = running.system.name, running.precision
                if clients in plan.of(system, precision):
                    about_it = about(name, system, precision, "closed", clients=clients)
                    yield Probe(about_it, partial(running.closed, clients, seconds), running)
                if clients in plan.grpc and isinstance(running.system, Ours) and precision == "fp32":
                    about_it = about(name, GRPC, precision, "closed", clients=clients)
                    yield Probe(about_it, partial(running.grpc, clients, seconds), running)

    def _open(self, closed: Sequence[Probe]) -> Iterable[Probe]:
        """Arrivals to ours, at shares of its own maximum and at the toolkit's."""
        ours = next((r for r in self._running if isinstance(r.system, Ours) and r.precision == "fp32"), None)
        own = most(probe for probe in closed if probe.running is ours and probe.about["system"] != GRPC)
        if ours is None or own is None:
            return
        for fraction in self._plan.fractions:
            yield self._arrivals(ours, fraction * own, fraction=fraction)
        theirs = most(probe for probe in closed if probe.about["system"] == Toolkit.name)
        if theirs and self._plan.toolkit:
            yield self._arrivals(ours, theirs, variant=AT_TOOLKITS)

    def _arrivals(self, running: Running, rate: float, **more: Any) -> Probe:
        seconds = min(max(self._seconds, _ENOUGH / rate), MOST_SECONDS)
        about_it = about(self._workload.name, running.system.name, running.precision, "open", offered=rate, **more)
        return Probe(about_it, partial(running.open, rate, seconds), running)
