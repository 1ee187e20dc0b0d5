"""How much memory there is for one more model: measured, by the kernel's own figures."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from converters.entry import VERSION
from huggingface_backend.manifest import Manifest
from server.errors import OutOfSpace

CGROUP = Path("/sys/fs/cgroup")
MIB = 2**20
PROCESS = 90 * MIB
"""A backend process with numpy, ONNX Runtime and tokenizers in it."""
TORCH = 500 * MIB
"""What torch and transformers add to it."""
CONVERSION = 900 * MIB
"""A conversion's process, without the model."""
SPARE = 64 * MIB
"""What must be left when a model has been loaded: requests take memory too."""


class Memory:
    """What this server's processes may take, and what is promised to loads that have not taken it yet."""

    def __init__(self, limit: int | None = None) -> None:
        """`limit` in bytes for all processes of this server; else the container's or the machine's."""
        self._limit = limit
        self._promised = 0

    def available(self) -> int:
        """Bytes that could be taken now."""
        free = [psutil.virtual_memory().available]
        container = _container()
        if container is not None:
            free.append(container)
        if self._limit is not None:
            free.append(self._limit - used())
        return min(free)

    @asynccontextmanager
    async def room(self, need: int, what: str) -> AsyncIterator[None]:
        """Keep bytes for a load while it takes them. OutOfSpace where there are not that many."""
        left = await asyncio.to_thread(self.available) - self._promised
        if left - need < SPARE:
            raise OutOfSpace(
                f"{what} takes about {need / MIB:.0f} MiB of memory, and there are {max(0, left - SPARE) / MIB:.0f}"
            )
        self._promised += need
        try:
            yield
        finally:
            self._promised -= need

    def short(self) -> bool:
        """Whether there is less than requests may need."""
        return self.available() < SPARE


def used(own: psutil.Process | None = None) -> int:
    """Bytes of a process, this one if not given, and everything below it; pages shared between them count once."""
    own = own or psutil.Process()
    total = 0
    for process in (own, *own.children(recursive=True)):
        try:
            total += int(process.memory_full_info().pss)
        except psutil.Error:
            continue  # it has ended meanwhile
    return total


def to_serve(entry: Path, manifest: Manifest, processes: int) -> int:
    """Bytes that the processes of an entry will about take."""
    libraries = TORCH if manifest.tier in ("accelerated", "torch") else 0
    return (PROCESS + libraries + size(entry / VERSION)) * processes


def to_convert(source: Path) -> int:
    """Bytes that the conversion of a folder or archive will about take: its weights, copies of them, and torch."""
    return CONVERSION + 3 * size(source)


def size(path: Path) -> int:
    """Bytes of a file, or of everything below a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(
        os.lstat(Path(folder, name)).st_size for folder, _, names in os.walk(path, followlinks=True) for name in names
    )


def _container() -> int | None:
    """What the control group leaves, without the file pages it would give up; None where it sets no limit."""
    for limit, usage, kept in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            allowed = (CGROUP / limit).read_text().strip()
            taken = int((CGROUP / usage).read_text())
            statistics = ((CGROUP / usage).parent / "memory.stat").read_text()
        except OSError:
            continue
        if not allowed.isdigit() or int(allowed) >= psutil.virtual_memory().total:
            return None
        cached = next((int(line.split()[1]) for line in statistics.splitlines() if line.split()[0] == kept), 0)
        return int(allowed) - taken + cached
    return None
