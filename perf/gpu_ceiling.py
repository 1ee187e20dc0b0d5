"""What a card does at most: bare ONNX Runtime on the plain and the fused fp16 graph of a model.

`python -m perf.gpu_ceiling MODEL TASK FOLDER` makes the graphs, in a process of its own: torch brings a CUDA along.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import onnxruntime

from huggingface_backend import providers
from huggingface_backend.session import session_options
from perf.bench import inputs
from perf.bench.workloads import Workload
from server.bench.outcome import Load

BATCHES = (1, 8, 32, 64, 128, 256)
_DIFFERENT = 8
"""Batches that take turns."""


@dataclass(frozen=True)
class Variant:
    """One way of running a graph bare."""

    graph: str
    batch: int
    kept: bool
    """Whether input and output stay on the card."""

    def __str__(self) -> str:
        return f"{self.graph} graph, {'on the card' if self.kept else 'from memory'}"


class Ceiling:
    """The sessions of one workload."""

    def __init__(self, work: Workload, folder: Path, chosen: list[providers.Provider]) -> None:
        """Graphs are made in `folder`; `chosen` are the providers. RuntimeError where there is no graph, or no card
        although the first provider needs one."""
        command = [sys.executable, "-m", "perf.gpu_ceiling", str(work.folder), work.task, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"no graphs of {work.model}: {done.stderr.strip().splitlines()[-1]}")
        self._rows = inputs.rows(work.task, work.folder, work.items)
        self._sessions = {
            path.parent.name: providers.opened(path, session_options(), chosen)
            for path in sorted(folder.glob("*/model.onnx"))
        }
        self._device = providers.device(next(iter(self._sessions.values())))
        if self._device is None and chosen != [providers.CPU]:
            raise RuntimeError("ONNX Runtime does not run on the card")
        kept = (False,) if self._device is None else (False, True)
        self.variants = [
            Variant(graph, batch, stays) for graph in self._sessions for batch in BATCHES for stays in kept
        ]

    def run(self, variant: Variant, seconds: float) -> Load:
        """Batches one after the other for some seconds; rows are what is counted."""
        session = self._sessions[variant.graph]
        names = [entry.name for entry in session.get_inputs()]
        rows = self._rows[: _DIFFERENT * variant.batch]
        runs = [
            self._bound(session, feed) if variant.kept else partial(session.run, None, feed)
            for feed in inputs.batches(rows, variant.batch, names, by_length=False)
        ]
        for run in runs:
            run()
        taken: list[float] = []
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            started = time.perf_counter()
            runs[len(taken) % len(runs)]()
            taken.append(time.perf_counter() - started)
        return Load(time.perf_counter() - began, len(taken) * variant.batch, taken)

    def _bound(self, session: Any, feed: inputs.Arrays) -> Callable[[], object]:
        binding = session.io_binding()
        for name, array in feed.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array, "cuda", self._device))
        for output in session.get_outputs():
            binding.bind_output(output.name, "cuda", self._device)

        def run() -> None:
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()

        return run


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("task")
@click.argument("folder", type=click.Path(path_type=Path))
def main(model: Path, task: str, folder: Path) -> None:
    """Write plain/model.onnx and, where the architecture fuses, fused/model.onnx, in fp16."""
    import onnx
    from optimum.exporters.onnx import main_export

    from converters.worker.fp16 import FOLDER, to_fp16

    name = "feature-extraction" if task == "sentence-embedding" else task
    config = json.loads((model / "config.json").read_text("utf-8"))
    plain = folder / "export" / "plain"
    main_export(str(model), plain, task=name, library_name="transformers", do_validation=False)
    for kind in ("plain", "fused"):
        graph = to_fp16(plain / "model.onnx", config, fused=kind == "fused")
        operators = {node.op_type for node in onnx.load(graph).graph.node}
        if kind == "plain" or "Attention" in operators:
            shutil.copytree(graph.parent, folder / kind)
        shutil.rmtree(folder / "export" / FOLDER)
    shutil.rmtree(folder / "export")


if __name__ == "__main__":
    main()
