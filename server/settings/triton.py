"""Settings of tritonserver itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from server.settings.kinds import TritonArguments, Verbosity, setting
from server.triton.arguments import TritonOptions

_DEFAULTS = TritonOptions()

TRITON = (
    setting(
        "--triton-shm-default-byte-size",
        envvar=["SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE"],
        type=click.IntRange(min=2**20),  # Triton takes no less
        default=_DEFAULTS.shm_default,
        show_default=True,
        help="Bytes of shared memory that a model's process begins with. A model gets no more processes than fit "
        "into /dev/shm with this and one growth each.",
    ),
    setting(
        "--triton-shm-growth-byte-size",
        envvar=["SAGEMAKER_TRITON_SHM_GROWTH_BYTE_SIZE"],
        type=click.IntRange(min=1),
        default=_DEFAULTS.shm_growth,
        show_default=True,
        help="Bytes by which that grows at a time.",
    ),
    setting(
        "--triton-log-verbose",
        envvar=["SAGEMAKER_TRITON_LOG_VERBOSE"],
        type=Verbosity(),
        default=_DEFAULTS.log_verbose,
        show_default=True,
        help="Triton's verbose level, or true; above 0 Triton's own lines are shown at any --log-level up to info.",
    ),
    setting(
        "--triton-arguments",
        envvar=["SAGEMAKER_TRITON_ADDITIONAL_ARGS"],
        type=TritonArguments(),
        default="",
        help="Further arguments for tritonserver, as in a shell. Those that would change what it loads or listens on "
        "are refused.",
    ),
)


def triton_options(given: Mapping[str, Any]) -> TritonOptions:
    """From the settings above."""
    return TritonOptions(
        given["triton_shm_default_byte_size"],
        given["triton_shm_growth_byte_size"],
        given["triton_log_verbose"],
        given["triton_arguments"],
    )
