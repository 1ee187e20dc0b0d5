"""The ceiling: the best that bare ONNX Runtime does with any graph, batch and layout of threads, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.bench.bare import LAYOUTS, QUIET, SINGLE, SPINNING
from server.triton.binary import HUGE_PAGES

if TYPE_CHECKING:
    from perf.bench.workloads import Workload

_FALLEN = 0.85
FINALISTS = 3
"""Combinations that are measured again in every round."""
_ITEMS = 256
"""Of a workload, at most: a whole pass through mixed lengths has to fit into a measurement."""


@dataclass(frozen=True)
class Variant:
    """One way to run the model."""

    graph: str
    layout: str
    batch: int
    order: str = "sorted"

    def __str__(self) -> str:
        order = ", in order of arrival" if self.order == "arrival" else ""
        return f"{self.graph}, {_WORDS[self.layout]}, batch {self.batch}{order}"


_WORDS = {
    "spinning": "all cores spinning",
    "quiet": "all cores",
    "beside": "a run a core",
    "single": "one core",
}


class CeilingError(Exception):
    """A combination or the whole ceiling could not be run; one line."""


class Ceiling:
    """Bare ONNX Runtime with a workload's input and graphs of one precision, in a process of its own."""

    def __init__(self, workload: Workload, precision: str, graphs: dict[str, Path]) -> None:
        self.precision, self.graphs = precision, tuple(graphs)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "perf.bench.bare"],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # What a server can have, bare ONNX Runtime has too.
            env={**os.environ, **HUGE_PAGES},
        )
        load = {
            "task": workload.task,
            "model": str(workload.folder),
            "items": [str(item) if isinstance(item, Path) else item for item in workload.items[:_ITEMS]],
            "graphs": {name: str(path) for name, path in graphs.items()},
        }
        self._ask("load", load)

    def run(self, variant: Variant, seconds: float) -> dict[str, Any]:
        """One measurement. CeilingError where the combination does not work."""
        return self._ask(
            "run",
            {
                "graph": variant.graph,
                "layout": variant.layout,
                "batch": variant.batch,
                "order": variant.order,
                "seconds": seconds,
            },
        )

    def difference(self, first: str, second: str) -> float:
        """The greatest difference between the outputs of two graphs."""
        return float(self._ask("same", {"graphs": [first, second]})["difference"])

    def search(self, batches: Sequence[int], seconds: float, note: Callable[[str], None]) -> list[Variant]:
        """The best combinations, fastest first: each tried shortly, the better ones once more for longer.

        `batches` ascend; a graph and layout that has become much slower with one is not tried with the next ones.
        `note` gets a line for each that cannot be run.
        """
        rates: dict[Variant, float] = {}
        for graph in self.graphs:
            for layout in LAYOUTS:
                best = 0.0
                for batch in batches:
                    variant = Variant(graph, layout, batch)
                    try:
                        rates[variant] = float(self.run(variant, seconds)["rate"])
                    except CeilingError as error:
                        note(f"{variant}: {error}")
                        break
                    if rates[variant] < _FALLEN * best:
                        break
                    best = max(best, rates[variant])
        if not rates:
            raise CeilingError("no graph can be run")
        promising = sorted(rates, key=rates.__getitem__, reverse=True)[: 2 * FINALISTS]
        again = {variant: float(self.run(variant, 3 * seconds)["rate"]) for variant in promising}
        return sorted(again, key=again.__getitem__, reverse=True)[:FINALISTS]

    def quickest(self, seconds: float) -> Variant:
        """The combination with the least latency of a row alone."""
        tried = {}
        for graph in self.graphs:
            for layout in (SPINNING, QUIET, SINGLE):
                variant = Variant(graph, layout, 1)
                try:
                    tried[variant] = float(self.run(variant, seconds)["p50_ms"])
                except CeilingError:
                    break
        if not tried:
            raise CeilingError("no graph can be run")
        return min(tried, key=tried.__getitem__)

    def stop(self) -> None:
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(60)

    def _ask(self, verb: str, given: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({verb: given}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise CeilingError(f"the process of bare ONNX Runtime ended with {self._process.wait(10)}")
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise CeilingError(found["error"])
        return found
