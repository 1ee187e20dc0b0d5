"""The ceilings of a workload as lines of the report."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.bench import graphs
from perf.bench.ceiling import Ceiling, Variant
from perf.bench.generation import GenerationCeiling
from perf.bench.grid import Plan
from perf.bench.measure import Round
from perf.bench.probe import Probe, about

if TYPE_CHECKING:
    from perf.bench.workloads import Workload

CEILING, NAIVE = "ceiling", "naive padding"
_ALIKE = 1e-3
"""How far two fp32 graphs of a model may be apart: their raw outputs are about 1."""


class Ceilings:
    """Those of one workload. What it starts ends with `stack`."""

    def __init__(
        self,
        workload: Workload,
        plan: Plan,
        seconds: float,
        stack: ExitStack,
        note: Callable[[str], None],
        step: Callable[[str], None],
    ) -> None:
        self.checks: list[dict[str, Any]] = []
        """Graphs of fp32 against one another."""
        self._workload, self._plan, self._seconds = workload, plan, seconds
        self._stack, self._note, self._step = stack, note, step

    def probes(self, root: Path, entries: dict[str, Path]) -> Iterable[Probe]:
        """The finalists of each precision that `entries` has, and fp32's always; looking for them takes a while.

        CeilingError where nothing runs, RuntimeError where nothing can be exported.
        """
        self._step("exporting for the ceiling")
        found = graphs.ensure(self._workload, root, entries)
        if self._workload.task == "text-generation":
            yield from self._generation(found["fp32"][graphs.PLAIN].parent)
            return
        for precision, known in found.items():
            if precision in {"fp32", *entries}:
                yield from self._finalists(precision, known)

    def _generation(self, model: Path) -> Iterable[Probe]:
        ceiling = GenerationCeiling(self._workload, model)
        self._stack.callback(ceiling.stop)
        for batch in ceiling.batches:
            yield self._probe(f"optimum, batch {batch}", batch, partial(ceiling.run, batch))

    def _finalists(self, precision: str, known: dict[str, Path]) -> Iterable[Probe]:
        ceiling = Ceiling(self._workload, precision, known)
        self._stack.callback(ceiling.stop)
        self._step(f"looking for the ceiling, {precision}")
        best = ceiling.search(self._plan.batches, min(0.3, self._seconds / 8), self._note)
        for name in ceiling.graphs[1:] if precision == "fp32" else ():
            self._compare(ceiling, ceiling.graphs[0], name)
        for variant in best:
            yield self._variant(ceiling, variant, CEILING)
        if self._workload.name.startswith("short"):
            alone = self._variant(ceiling, ceiling.quickest(0.3), CEILING)
            alone.about["clients"] = 1
            yield alone
        for rows in self._plan.naive if precision == "fp32" else ():
            yield self._variant(ceiling, Variant(best[0].graph, best[0].layout, rows, "arrival"), NAIVE)

    def _compare(self, ceiling: Ceiling, first: str, second: str) -> None:
        apart = ceiling.difference(first, second)
        # Ours may give something else than the export's first output.
        if not math.isnan(apart):
            known = {"workload": self._workload.name, "system": f"{CEILING}, {second}", "precision": ceiling.precision}
            verdict = {"max_difference": apart, "tolerance": _ALIKE, "ok": apart <= _ALIKE}
            self.checks.append({**known, "against": f"the graph {first}", **verdict})

    def _variant(self, ceiling: Ceiling, variant: Variant, system: str) -> Probe:
        def go() -> Round:
            found = ceiling.run(variant, self._seconds)
            cpu_ms = 1e3 * found.pop("cpu_seconds") / found["requests"]
            return {**found, "errors": 0, "rejected": 0, "cpu_ms_per_request": cpu_ms}

        return self._probe(str(variant), variant.batch, go, system, ceiling.precision)

    def _probe(
        self, variant: str, batch: int, go: Callable[[], Round], system: str = CEILING, precision: str = "fp32"
    ) -> Probe:
        return Probe(about(self._workload.name, system, precision, "batch", batch=batch, variant=variant), go)
