"""The private folder of one server: its socket, its spool, its view of the repository."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from server.triton.process import remove_shared_memory

_PREFIX = "triton-hf-"
_LOCK = "lock"


class RunDir:
    """A 0700 folder that a lock marks as in use, so that a later server can sweep what a killed one left."""

    def __init__(self, parent: Path | None = None) -> None:
        parent = parent or Path(tempfile.gettempdir())
        _sweep(parent)
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    @property
    def shm_prefix(self) -> str:
        """The beginning of the names of this server's regions in /dev/shm."""
        return shm_prefix(self.path)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def shm_prefix(path: Path) -> str:
    return path.name.replace("-", "_") + "_"


def _sweep(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*"):
        try:
            lock = os.open(path / _LOCK, os.O_RDWR)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            remove_shared_memory(shm_prefix(path))
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
