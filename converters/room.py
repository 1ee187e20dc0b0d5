"""Disk for one more conversion, taken from converted models that nobody uses."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from filelock import FileLock, Timeout

from converters.entry import is_entry


def make_room(cache: Path, need: int, used: Collection[Path]) -> bool:
    """Whether `need` bytes are free where the cache lies, once entries that were left alone longest have gone.

    Entries in `used` stay, and those that a conversion is at work on.
    """
    cache.mkdir(parents=True, exist_ok=True)
    kept = {path.resolve() for path in used}
    entries = [path for path in (cache / "artifacts").glob("*") if is_entry(path) and path.resolve() not in kept]
    for entry in sorted(entries, key=lambda path: path.stat().st_mtime):
        if shutil.disk_usage(cache).free >= need:
            break
        try:
            with FileLock(entry.with_suffix(".lock"), timeout=0):
                shutil.rmtree(entry, ignore_errors=True)
        except Timeout:
            continue
    return shutil.disk_usage(cache).free >= need
