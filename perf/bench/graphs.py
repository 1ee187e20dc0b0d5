"""The graphs that the ceiling tries for a model: optimum's plain export always, and whatever else there is of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from filelock import FileLock

if TYPE_CHECKING:
    from perf.bench.workloads import Workload

PLAIN, FUSED, ENTRY, DYNAMIC = "plain", "fused", "ours", "dynamic int8"
_LONG_ENOUGH = 1800
"""Seconds for an export."""


def ensure(workload: Workload, root: Path, entries: dict[str, Path]) -> dict[str, dict[str, Path]]:
    """Graphs by precision and name; `entries` are our own conversions by precision.

    Exports are kept below `root`. RuntimeError where optimum fails.
    """
    folder = root / "graphs" / workload.model
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / ".complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _make(workload, folder)
            (folder / ".complete").touch()
    found: dict[str, dict[str, Path]] = {"fp32": {}, "int8": {}}
    for name, precision in ((PLAIN, "fp32"), (FUSED, "fp32"), (DYNAMIC, "int8")):
        path = folder / name.replace(" ", "-") / "model.onnx"
        if path.exists():
            found[precision][name] = path
    for precision, entry in entries.items():
        for path in sorted((entry / "1").glob("*.onnx")):
            found[precision][ENTRY if path.stem == "model" else f"{ENTRY}, {path.stem}"] = path
    return {precision: graphs for precision, graphs in found.items() if graphs}


def _make(workload: Workload, folder: Path) -> None:
    """In a process of its own: torch stays out of the one that measures."""
    command = [sys.executable, "-m", "perf.bench.graphs", str(workload.folder), workload.task, str(folder)]
    repository = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=_LONG_ENOUGH, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(f"no graphs of {workload.model}: {lines[-1] if lines else 'the export failed'}")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("task")
@click.argument("folder", type=click.Path(path_type=Path))
def main(model: Path, task: str, folder: Path) -> None:
    """Export a model by optimum, and make the other graphs of that export."""
    from optimum.exporters.onnx import main_export

    from converters.worker.candidates import fuse

    names = {"sentence-embedding": "feature-extraction", "text-generation": "text-generation-with-past"}
    main_export(
        str(model), folder / PLAIN, task=names.get(task, task), library_name="transformers", do_validation=False
    )
    if task == "text-generation":
        return  # optimum's own class runs this one
    plain = folder / PLAIN / "model.onnx"
    fuse(plain, json.loads((model / "config.json").read_text("utf-8")))
    if task in ("sentence-embedding", "text-classification"):
        _quantise(plain, folder / DYNAMIC.replace(" ", "-") / "model.onnx")


def _quantise(plain: Path, target: Path) -> None:
    """The usual recipe: weights in signed 8 bits per channel, activations measured as they pass."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    target.parent.mkdir()
    prepared = target.with_name("prepared.onnx")
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    quantize_dynamic(
        prepared, target, per_channel=True, weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True}
    )
    prepared.unlink()


if __name__ == "__main__":
    main()
