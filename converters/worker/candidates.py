"""The fp32 graphs that a model can be served from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from converters.exports import FAST_AS
from converters.worker.protocol import Job, NotExportableError
from huggingface_backend.manifest import GRAPH

_FUSIBLE = {"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"}
_ASIDE_ABOVE = 2**24
"""Bytes of a graph from which its weights get a file of their own."""
_ASIDE_WEIGHT = 2**16
"""Bytes of a weight that goes into it."""
_FUSE_BELOW = 1.5e9
"""Bytes; above it a graph nears protobuf's 2 GB, and fusing would hold it in memory several times."""


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


def keep(graphs: dict[str, Path], chosen: str, target: Path) -> None:
    """Move the chosen graph to its final name and delete the others."""
    files = list(graphs[chosen].parent.glob(f"{GRAPH}*"))
    if chosen != "as-is" and len(files) == 1 and files[0].stat().st_size > _ASIDE_ABOVE:
        _put_aside(files[0], target)
    else:
        for path in files:
            path.rename(target.parent / path.name)
    for path in graphs.values():
        shutil.rmtree(path.parent)


def _put_aside(graph: Path, target: Path) -> None:
    """Write a graph with its weights in a file beside it.

    ONNX Runtime maps that file: a session loads in half the time, and sessions share what they use as it is there, such
    as embeddings.
    """
    import onnx

    data = f"{target.name}.data"
    onnx.save_model(onnx.load(graph), target, save_as_external_data=True, location=data, size_threshold=_ASIDE_WEIGHT)
    # It is made readable for its owner alone.
    (target.parent / data).chmod(target.stat().st_mode)
