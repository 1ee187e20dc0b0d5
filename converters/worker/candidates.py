"""The graphs a model can be served from, and which of them is fastest on this machine."""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import ConversionError
from converters.exports import FAST_AS
from converters.worker.protocol import Job, NotExportableError
from huggingface_backend.batches import Batch
from huggingface_backend.manifest import GRAPH
from huggingface_backend.session import Session

_FUSIBLE = {"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"}
_FUSE_BELOW = 1.5e9
"""Bytes; above it a graph nears protobuf's 2 GB, and fusing would hold it in memory several times."""

_SHAPES = ((1, 16), (8, 16), (32, 16), (8, 128))
_ROUNDS = 5


def export(model: Any, job: Job, target: Path) -> Path:
    """optimum's export of a loaded model; NotExportableError where it has none for this architecture."""
    if model is None:
        raise ConversionError(
            "nothing to convert: the source has neither a model.onnx nor weights that PyTorch can load here "
            "(the convert extra installs torch)"
        )
    from optimum.exporters.onnx import onnx_export_from_model

    task = FAST_AS[job.task]
    kind = model.config.model_type
    if task not in supported_tasks(kind):
        raise NotExportableError(f"optimum has no ONNX export of {kind} for {task}")
    folder = target / "plain"
    onnx_export_from_model(model, folder, task=task, do_validation=False)
    return folder / GRAPH


def supported_tasks(kind: str) -> frozenset[str]:
    """The tasks for which optimum exports an architecture (`model_type`), by optimum's names."""
    import optimum.exporters.onnx.model_configs  # noqa: F401  registers them
    from optimum.exporters.tasks import TasksManager

    found: set[str] = set()
    for name in {kind, kind.replace("_", "-")}:
        try:
            found.update(TasksManager.get_supported_tasks_for_model_type(name, "onnx", library_name="transformers"))
        except KeyError:
            continue
    return frozenset(found)


def fuse(plain: Path, config: dict[str, Any]) -> Path | None:
    """The graph with attention and layer norm fused by ONNX Runtime's transformer optimizer, where it knows how."""
    if config.get("model_type") not in _FUSIBLE or plain.stat().st_size > _FUSE_BELOW:
        return None
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    heads = config.get("num_attention_heads") or config.get("n_heads") or 0
    hidden = config.get("hidden_size") or config.get("dim") or 0
    optimized = optimize_model(
        str(plain),
        model_type="bert",
        num_heads=heads,
        hidden_size=hidden,
        opt_level=1,
        optimization_options=FusionOptions("bert"),
    )
    target = plain.parent.parent / "fused" / GRAPH
    target.parent.mkdir()
    optimized.save_model_to_file(str(target))
    return target


def copy_graph(ready: Path, target: Path) -> Path:
    """A graph the source brings along, with its external data."""
    folder = target / "as-is"
    folder.mkdir()
    for path in ready.parent.glob(f"{ready.name}*"):
        shutil.copyfile(path, folder / path.name)
    return folder / GRAPH


def time_graphs(graphs: dict[str, Path], longest: int | None) -> dict[str, float]:
    """Milliseconds each graph takes for one run of every shape: medians of alternating rounds on all cores.

    `longest` is the most tokens the graphs take.
    """
    sessions = {name: Session(path) for name, path in graphs.items()}
    batches = [_batch(rows, min(tokens, longest or tokens)) for rows, tokens in _SHAPES]
    times: dict[str, list[list[float]]] = {name: [[] for _ in batches] for name in sessions}
    for turn in range(_ROUNDS + 1):
        for name, session in sessions.items():
            for index, batch in enumerate(batches):
                started = time.perf_counter()
                session.run(batch)
                if turn:
                    times[name][index].append(time.perf_counter() - started)
    return {name: round(1e3 * sum(map(statistics.median, shapes)), 3) for name, shapes in times.items()}


def keep(graphs: dict[str, Path], chosen: str, target: Path) -> None:
    """Move the chosen graph to its final name and delete the others."""
    for path in graphs[chosen].parent.glob(f"{GRAPH}*"):
        path.rename(target.parent / path.name)
    for path in graphs.values():
        shutil.rmtree(path.parent)


def _batch(rows: int, tokens: int) -> Batch:
    shape = (rows, tokens)
    return Batch(np.ones(shape, np.int64), np.ones(shape, np.int64), np.zeros(shape, np.int64), [tokens] * rows)
