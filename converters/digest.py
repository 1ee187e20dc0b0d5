"""Content digests of files and folders, remembered as long as the files stay untouched."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path


class Digests:
    """SHA-256 of files. A file's inode, size, mtime and ctime say whether a remembered digest still holds."""

    def __init__(self, memory: Path) -> None:
        self._memory = memory
        try:
            self._known: dict[str, str] = json.loads(memory.read_text("utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def of(self, path: Path) -> str:
        """A file's digest, or a folder's: its files' relative names and digests. OSError if unreadable."""
        digest = self._folder(path) if path.is_dir() else self._file(path)
        self._save()
        return digest

    def _folder(self, folder: Path) -> str:
        total = hashlib.sha256()
        for path in walk(folder):
            total.update(f"{path.relative_to(folder)}\0{self._file(path)}\n".encode("utf-8", "surrogateescape"))
        return total.hexdigest()

    def _file(self, path: Path) -> str:
        stat = path.stat()
        key = f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
        if key not in self._known:
            with path.open("rb") as file:
                self._known[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._known[key]

    def _save(self) -> None:
        """Keep what was learnt; a cache that cannot be written costs time and nothing else."""
        temporary = self._memory.with_suffix(f".{os.getpid()}")
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(self._known), "utf-8")
            temporary.replace(self._memory)
        except OSError:
            temporary.unlink(missing_ok=True)


def walk(folder: Path) -> list[Path]:
    """Every file under a folder in a fixed order, without version control and Python's caches."""
    skipped = {".git", "__pycache__", ".cache"}
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not skipped & set(path.relative_to(folder).parts)
    )
