"""Settings that decide a conversion, and where it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from huggingface_backend.manifest import Format, Precision
from server.settings.kinds import setting

PRECISIONS: tuple[str, ...] = get_args(Precision)
FORMATS: tuple[str, ...] = get_args(Format)

CONVERSION = (
    setting("--task", envvar=["HF_TASK"], help="What the model is for; told by its files if not given."),
    setting(
        "--revision",
        envvar=["HF_MODEL_REVISION", "HF_REVISION"],
        help="Branch, tag or commit of a Hub model.",
    ),
    setting(
        "--token",
        envvar=["HF_TOKEN", "HF_API_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_TOKEN"],
        help="Access token for gated and private Hub models.",
    ),
    setting(
        "--trust-remote-code/--no-trust-remote-code",
        envvar=["HF_TRUST_REMOTE_CODE"],
        default=False,
        help="Run modelling code and code/inference.py that come from the Hub.",
    ),
    setting(
        "--program",
        envvar=["SAGEMAKER_PROGRAM"],
        default="inference.py",
        show_default=True,
        help="The script in the model's code/ folder, as a file or a module.",
    ),
    setting(
        "--submit-directory",
        envvar=["SAGEMAKER_SUBMIT_DIRECTORY"],
        help="A local folder, or its file:// URL, to take in place of the model's code/; anything else is ignored.",
    ),
    setting(
        "--precision",
        envvar=["TRITON_HF_PRECISION"],
        type=click.Choice(PRECISIONS),
        show_default="fp32",
        help="What the graph computes in, on the fast tier. int8 is for processors and fp16 for GPUs. Either is held "
        "against PyTorch with a tolerance of its own; where it fails, `convert` does, and `serve` takes fp32.",
    ),
    setting(
        "--format",
        envvar=["TRITON_HF_FORMAT"],
        type=click.Choice(FORMATS),
        show_default="onnx",
        help="What runs the graph, on the fast tier: ONNX Runtime itself, or TensorRT, which needs an NVIDIA GPU.",
    ),
    setting(
        "--calibration",
        envvar=["TRITON_HF_CALIBRATION"],
        type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
        help="A file of texts such as the model will get, one a line: --precision is judged on these as well.",
    ),
    setting(
        "--cache",
        envvar=["TRITON_HF_CACHE"],
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        show_default="~/.cache/triton-hf",
        help="Where converted models are kept for the next time.",
    ),
)
