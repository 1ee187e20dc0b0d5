"""Every setting, declared once: its flag, the environment variables it answers to, its default and its meaning.

click reads the environment; nothing else does, and nothing at import. `docs/configuration.md` is made from here, and
`origins` says whose variables they are.
"""

from __future__ import annotations

import os
from pathlib import Path

from server.settings.batch import BATCH, execution_parameters
from server.settings.bench import BENCH, seconds
from server.settings.conversion import CONVERSION
from server.settings.kinds import Group, LogLevel, PortRange, options
from server.settings.listening import LISTENING
from server.settings.model import MODEL
from server.settings.multi_model import MULTI_MODEL
from server.settings.requests import REQUESTS, max_body, timeout
from server.settings.transform import TRANSFORM
from server.settings.triton import TRITON, triton_options

SERVING = (*MODEL, *MULTI_MODEL, *LISTENING, *REQUESTS, *BATCH, *TRITON)

__all__ = [
    "BATCH",
    "BENCH",
    "CONVERSION",
    "LISTENING",
    "MODEL",
    "MULTI_MODEL",
    "REQUESTS",
    "SERVING",
    "TRANSFORM",
    "TRITON",
    "Group",
    "LogLevel",
    "PortRange",
    "default_cache",
    "execution_parameters",
    "max_body",
    "options",
    "seconds",
    "timeout",
    "triton_options",
]


def default_cache() -> Path:
    """`~/.cache/triton-hf`, or its like below XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "triton-hf"
