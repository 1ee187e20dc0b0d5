"""The accelerated tier's conversion: export, ask both pipelines the same, and see what a batch does to answers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import GateError
from converters.exports import ACCELERATED_AS
from converters.model_files import copy_model
from converters.worker.candidates import supported_tasks
from converters.worker.examples import Example, examples
from converters.worker.protocol import Job, NotExportableError
from huggingface_backend.errors import EntryError, RequestError, first_line
from huggingface_backend.manifest import Batching, Gate, Manifest, family
from huggingface_backend.onnx_models import beyond_graphs
from huggingface_backend.onnx_pipeline import OnnxPipeline
from huggingface_backend.torch_pipeline import build

TOLERANCE = 1e-3
"""For fp32, of the largest number in an answer where that is above 1: a pipeline's answer is many steps from logits."""

MERGED = "decoder_model_merged.onnx"
"""The graph that stands for two others, of a decoder's first step and of the further ones."""

_ALONE = frozenset({"text-to-audio"})
"""Tasks whose rows may not share a pass: the length of a sound is the model's own choice."""


def convert(job: Job, emit: Callable[..., None]) -> dict[str, Any]:
    """Write ONNX graphs into the job's target; return the manifest fields found out.

    NotExportableError where the model cannot be accelerated, GateError where its graphs answer otherwise.
    """
    source, target = Path(job.source), Path(job.target)
    emit("stage", name="loading the weights into PyTorch")
    try:
        reference = build(job.task, source, trust_remote_code=job.trust_remote_code)
    except EntryError as error:
        raise NotExportableError(str(error)) from error
    reference.model.float()
    asked = examples(job.task, reference)
    # First, because an export may leave its mark on the model.
    expected = _reference(reference, asked)
    emit("stage", name="exporting to ONNX")
    _export(reference.model, job.task, target)
    emit("stage", name="comparing with PyTorch")
    manifest = Manifest(
        task=job.task,
        tier="accelerated",
        graph="plain",
        trust_remote_code=job.trust_remote_code,
        weights=beyond_graphs(job.task, {"return_timestamps": "word"}) and reference.model.can_generate(),
    )
    copy_model(source, target, weights=False)
    alone = _ask(manifest, target, asked, together=False)
    gate = compare(alone, expected)
    if gate.verdict != "passed":
        raise GateError(f"the ONNX graphs do not answer like PyTorch: {gate.reason or gate.describe()}")
    emit("stage", name="trying batches")
    return asdict(replace(manifest, gate=gate, batching=_batching(manifest, target, asked, alone)))


def _export(model: Any, task: str, target: Path) -> None:
    from optimum.exporters.onnx import onnx_export_from_model

    exported_as = ACCELERATED_AS[family(task)]
    kind = model.config.model_type
    supported = supported_tasks(kind)
    if exported_as not in supported:
        raise NotExportableError(f"optimum has no ONNX export of {kind} for {exported_as}")
    if f"{exported_as}-with-past" in supported:
        exported_as = f"{exported_as}-with-past"
    folder = target / "export"
    try:
        onnx_export_from_model(
            model, folder, task=exported_as, custom_onnx_configs=_with_pooler(model, task), do_validation=False
        )
    except Exception as error:
        raise NotExportableError(f"optimum's ONNX export of {kind} fails: {first_line(error)}") from error
    spare = ("decoder_model.onnx", "decoder_with_past_model.onnx") if (folder / MERGED).exists() else ()
    for path in folder.glob("*.onnx*"):
        if not path.name.startswith(spare):
            path.rename(target / path.name)
    # What the model's own files say is not to be what an export wrote down of it.
    shutil.rmtree(folder)


def _with_pooler(model: Any, task: str) -> dict[str, Any] | None:
    """An export with the pooled output, which image-feature-extraction may be asked for (`pool`); None where it is not.

    optimum leaves it out of every feature extraction.
    """
    if task != "image-feature-extraction" or getattr(model, "pooler", None) is None:
        return None
    from optimum.exporters.tasks import TasksManager

    known = TasksManager.get_exporter_config_constructor(
        "onnx", model=model, task="feature-extraction", library_name="transformers"
    )
    config = known(model.config)
    outputs = {**config.outputs, "pooler_output": {0: "batch_size"}}
    # The outputs are a property of its class.
    config.__class__ = type("WithPooler", (config.__class__,), {"outputs": outputs})
    return {"model": config}


def _reference(pipe: Any, asked: Sequence[Example]) -> list[Any]:
    """The pipeline's answers on PyTorch."""
    try:
        return [pipe(copy(inputs), **parameters) for inputs, parameters in asked]
    except Exception as error:
        why = f"nothing to compare its graphs by: PyTorch refuses the gate's examples: {first_line(error)}"
        raise NotExportableError(why) from error


def _ask(manifest: Manifest, folder: Path, asked: Sequence[Example], *, together: bool) -> list[Any]:
    """The accelerated pipeline's answers, one call after the other or all at once."""
    try:
        pipe = OnnxPipeline(manifest, folder)
    except EntryError as error:
        raise NotExportableError(str(error)) from error
    # A pipeline may take a call's inputs apart.
    calls = [(copy(inputs), parameters) for inputs, parameters in asked]
    try:
        if together:
            return pipe.ask_together(calls)
        return [pipe.ask_together([call])[0] for call in calls]
    finally:
        pipe.close()


def _batching(manifest: Manifest, folder: Path, asked: Sequence[Example], alone: Sequence[Any]) -> Batching:
    """The most that may share a pass without changing the answers."""
    if manifest.task in _ALONE:
        return "none"
    # Each twice, so that there are rows of equal shape.
    calls, expected = [*asked, *asked], [*alone, *alone]
    kinds: tuple[Batching, ...] = ("padded", "equal")
    for kind in kinds:
        if compare(_ask(replace(manifest, batching=kind), folder, calls, together=True), expected).verdict == "passed":
            return kind
    return "none"


def compare(answers: Sequence[Any], expected: Sequence[Any], tolerance: float = TOLERANCE) -> Gate:
    """Answers of a pipeline against those of PyTorch: equal structure and texts, numbers within the tolerance."""
    gaps: list[float] = []
    for answer, reference in zip(answers, expected, strict=True):
        if isinstance(answer, RequestError):
            return Gate("failed", f"an example is refused: {answer}", len(answers))
        difference = _difference(answer, reference, gaps)
        if difference:
            return Gate("failed", difference, len(answers))
    worst = max(gaps, default=0.0)
    return Gate("passed" if worst <= tolerance else "failed", "", len(answers), worst, tolerance)


def _difference(value: Any, reference: Any, gaps: list[float]) -> str:
    """What differs beside numbers; of these the largest gap of every array, relative where it is large, is noted."""
    if isinstance(reference, dict):
        if not isinstance(value, dict) or list(value) != list(reference):
            return "the answers have other keys"
        return next(filter(None, (_difference(value[key], reference[key], gaps) for key in reference)), "")
    if isinstance(reference, list | tuple):
        if len(value) != len(reference):
            return f"{len(value)} results instead of {len(reference)}"
        return next(filter(None, (_difference(a, b, gaps) for a, b in zip(value, reference, strict=True))), "")
    if isinstance(reference, str | bool | type(None)):
        return "" if value == reference else f"{str(value)[:60]!r} instead of {str(reference)[:60]!r}"
    a, b = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    if a.shape != b.shape:
        return f"an array of shape {a.shape} instead of {b.shape}"
    if a.size:
        gap = float(np.abs(a - b).max())
        # A pixel is a rounded number: one step of it is no difference.
        gap = max(0.0, gap - 1) if hasattr(reference, "getbands") else gap
        gaps.append(gap / max(1.0, float(np.abs(b).max())))
    return ""
