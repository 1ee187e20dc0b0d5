"""Settings of multi-model mode."""

from __future__ import annotations

import click

from server.settings.kinds import setting

MULTI_MODEL = (
    setting(
        "--multi-model/--no-multi-model",
        envvar=["SAGEMAKER_MULTI_MODEL"],
        default=False,
        help="Load and unload models from below --base-dir as POST and DELETE on /models ask; begin with none.",
    ),
    setting(
        "--memory-limit",
        envvar=["TRITON_HF_MEMORY_LIMIT"],
        type=click.IntRange(min=1),
        show_default="the container's, or the machine's",
        help="MiB for all processes of the server; a POST on /models for which there is too little left gets 507.",
    ),
)
