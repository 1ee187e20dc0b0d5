"""What the processor can do."""

from __future__ import annotations

from pathlib import Path


def has_vnni() -> bool:
    """Whether this processor multiplies bytes without an overflow in between; one that is not x86 does."""
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return False
    return "vnni" in flags or "flags" not in flags
