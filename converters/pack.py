"""An entry to a model.tar.gz that SageMaker unpacks to an entry again."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from converters import entry
from converters.errors import ConversionError
from converters.progress import Progress

_LEFT_OUT = frozenset({"__pycache__", ".git", ".cache", ".lock"})
_LEVEL = 1
"""Weights hardly compress: a higher level takes several times as long for a hundredth."""


def pack(found: Path, archive: Path, progress: Progress) -> None:
    """Write an entry's files as a gzipped tar with the entry at its top.

    Equal entries give equal bytes: files in order, without times and owners. Links become what they lead to. The
    archive is there whole or not at all; ConversionError where it cannot be written.
    """
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=archive.parent, prefix=f".{archive.name}-"))
        try:
            unfinished = scratch / archive.name
            with progress.stage(f"packing {archive.name}", unfinished):
                _write(found, unfinished)
            unfinished.replace(archive)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise ConversionError(f"{archive} cannot be written: {error.strerror or error}") from error


def _write(found: Path, archive: Path) -> None:
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT, dereference=True) as tar,
    ):
        # What says that it is an entry comes first, for whoever reads from the front.
        first = (entry.CONFIG, f"{entry.VERSION}/manifest.json")
        names = sorted(_files(found), key=lambda name: (name not in first, name))
        for name in names:
            path = found / name
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            member.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            with path.open("rb") as content:
                tar.addfile(member, content)


def _files(found: Path) -> Iterator[str]:
    """Names of the files below a folder, those behind links to folders too."""
    for folder, folders, files in os.walk(found, followlinks=True):
        real = Path(folder).resolve()
        folders[:] = [
            name
            for name in folders
            # A link to a folder above it has no end.
            if name not in _LEFT_OUT and not real.is_relative_to((Path(folder) / name).resolve())
        ]
        for name in files:
            path = Path(folder, name)
            # A link that leads nowhere is yielded too, and fails: without it the entry would not be whole.
            if name not in _LEFT_OUT and (path.is_file() or path.is_symlink()):
                yield path.relative_to(found).as_posix()
