"""text-to-image: the graphs of a diffusers folder, and whether they paint what PyTorch paints."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from converters.errors import GateError
from converters.model_files import copy_model
from converters.worker.accelerated import compare
from converters.worker.protocol import Job, NotExportableError
from huggingface_backend.diffusion import TextToImage, on_graphs, on_torch
from huggingface_backend.errors import first_line
from huggingface_backend.manifest import Manifest
from huggingface_backend.sampling import Draws

TOLERANCE = 0.02
"""Of a pixel's range: rounding grows from step to step."""

_PROMPTS = ("a lighthouse at dusk", "two red apples on a table")
_STEPS = 3


def convert(job: Job, emit: Callable[..., None]) -> dict[str, Any]:
    """Write the graphs of every part into the job's target; return the manifest fields found out.

    NotExportableError where optimum has no export, GateError where the images differ.
    """
    source, target = Path(job.source), Path(job.target)
    emit("stage", name="painting with PyTorch")
    try:
        expected = _paint(on_torch(source, job.trust_remote_code))
    except Exception as error:
        raise NotExportableError(f"diffusers cannot paint with this model: {first_line(error)}") from error
    emit("stage", name="exporting to ONNX")
    _export(source, target, job.trust_remote_code)
    copy_model(source, target, weights=False)
    emit("stage", name="comparing with PyTorch")
    gate = compare(_paint(on_graphs(target, 0)), expected, TOLERANCE)
    if gate.verdict != "passed":
        raise GateError(f"the ONNX graphs do not paint like PyTorch: {gate.reason or gate.describe()}")
    return asdict(
        Manifest(task=job.task, tier="accelerated", graph="plain", trust_remote_code=job.trust_remote_code, gate=gate)
    )


def _paint(painter: TextToImage) -> list[Any]:
    images = []
    for seed, prompt in enumerate(_PROMPTS):
        with Draws(seed):
            images.append(painter(prompt, num_inference_steps=_STEPS))
    return images


def _export(source: Path, target: Path, trust_remote_code: bool) -> None:
    from optimum.exporters.onnx import main_export

    folder = target / "export"
    try:
        main_export(
            str(source),
            output=folder,
            task="text-to-image",
            library_name="diffusers",
            trust_remote_code=trust_remote_code,
            do_validation=False,
        )
    except Exception as error:
        raise NotExportableError(f"optimum's ONNX export fails: {first_line(error)}") from error
    for path in folder.iterdir():
        path.rename(target / path.name)
    shutil.rmtree(folder)
