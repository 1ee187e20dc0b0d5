"""Settings that decide a conversion, and where it is kept."""

from __future__ import annotations

from pathlib import Path

import click

from server.settings.kinds import setting

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
        "--cache",
        envvar=["TRITON_HF_CACHE"],
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        show_default="~/.cache/triton-hf",
        help="Where converted models are kept for the next time.",
    ),
)
