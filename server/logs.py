"""One log for the server and for Triton, whose lines are levelled into ours."""

from __future__ import annotations

import logging
import re
import sys

triton_log = logging.getLogger("triton")
backend_log = logging.getLogger("backend")

_WITHOUT_GPU = "CudaDriverHelper has not been initialized."
"""An error to Triton, the normal state of a machine without a GPU to everybody else."""

MAX_LINE = 4096
"""Characters of one Triton line that are kept: a model may log a whole request."""

_TRITON = re.compile(r'([IWEF])\d{4} [\d:.]+ \d+ ([\w.]+):\d+\] ?"?(.*?)"?$', re.DOTALL)
_TABLE = re.compile(r"[+|].*[+|]")
"""Triton's start prints tables, whose lines carry no level."""
_LEVELS = {"I": logging.DEBUG, "W": logging.WARNING, "E": logging.ERROR, "F": logging.CRITICAL}


def set_up(level: str, *, triton: bool = False) -> None:
    """Log to stderr; Triton's own chatter is our debug, and shown beside the rest with `triton`."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        force=True,
    )
    for name in ("uvicorn", "httpx", "huggingface_hub", "urllib3", "filelock", "asyncio", "grpc"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if triton:
        triton_log.setLevel(logging.DEBUG)


def log_triton_line(line: str) -> None:
    """Log one line of Triton's output at the level that it names."""
    line = line[:MAX_LINE].rstrip()
    if not line:
        return
    match = _TRITON.match(line)
    if match is None and _TABLE.fullmatch(line):
        triton_log.debug("%s", line)
    elif match is None:
        # A stub's own output: what a script prints.
        backend_log.info("%s", line)
    elif match[2] == "model.py":
        # Triton escapes line breaks and quotes; a traceback is to be read.
        text = match[3].replace("\\n", "\n").replace('\\"', '"')
        backend_log.log(max(_LEVELS[match[1]], logging.INFO), "%s", text)
    else:
        level = logging.DEBUG if match[3] == _WITHOUT_GPU else _LEVELS[match[1]]
        triton_log.log(level, "%s", match[3])
