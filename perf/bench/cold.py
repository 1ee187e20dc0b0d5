"""Seconds from the start of a server with a converted model to its first answer."""

from __future__ import annotations

from pathlib import Path

from perf.cold_start import Kind, Places, once


def starts(root: Path, count: int) -> list[float]:
    """One start each, of a model in a read-only folder. OSError, AssertionError and click's errors where it fails."""
    places, kind = Places(root), Kind("converted")
    for _ in range(count):
        once(places, kind)
    return kind.answered
