"""A look at a source that unpacks, downloads and reads only what is small."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from converters.archive import bounded, reading
from converters.digest import walk
from converters.errors import ConversionError
from converters.progress import Progress
from converters.sources import resolve_hub
from converters.weights import SUFFIXES, flaw, weights_format
from huggingface_backend.script import CODE

SMALL = 10 * 2**20
"""Bytes; larger files of an archive stay in it."""

_FROM_HUB = ("*.json", f"{CODE}/*")
_NOT_FROM_HUB = ("tokenizer.json", "vocab.json", *(f"*{suffix}" for suffix, _ in SUFFIXES))


@dataclass(frozen=True)
class View:
    """What can be seen of a source."""

    kind: str
    """A folder, an archive, a Hub model."""
    folder: Path
    """Holds the small files."""
    files: dict[str, int | None]
    """Every file and its size in bytes, where that is known."""
    flaws: dict[str, str] = field(default_factory=dict)
    """What is wrong with files of weights, by their names."""
    hub_tag: str | None = None
    trusted: bool = True


@contextmanager
def look(
    source: str,
    cache: Path,
    progress: Progress,
    revision: str | None = None,
    token: str | None = None,
    *,
    whole_code: bool = False,
) -> Iterator[View]:
    """Look at a folder, an archive or a Hub model; ConversionError in one line where there is nothing to look at.

    `whole_code` takes large files of code/ too, for a script that is to be imported.
    """
    path = Path(source).expanduser()
    try:
        if path.is_dir():
            yield _folder(path)
        elif path.is_file():
            with TemporaryDirectory(prefix="triton-hf-check-") as scratch:
                yield _archive(path, Path(scratch).resolve(), whole_code=whole_code)
        else:
            hub = resolve_hub(source, cache, revision, token)
            ignored = [pattern for pattern in _NOT_FROM_HUB if not whole_code or not pattern.startswith("*")]
            fetched = hub.fetch(progress, allow=_FROM_HUB, ignore=ignored)
            files: dict[str, int | None] = dict.fromkeys(hub.files)
            for name in files:
                if (fetched / name).is_file():
                    files[name] = (fetched / name).stat().st_size
            yield View("Hub model", fetched, files, hub_tag=hub.hub_tag, trusted=False)
    except OSError as error:
        raise ConversionError(f"{source} cannot be read: {error.strerror or error}") from error


def _folder(path: Path) -> View:
    files: dict[str, int | None] = {}
    flaws: dict[str, str] = {}
    for file in walk(path):
        name = file.relative_to(path).as_posix()
        size = files[name] = file.stat().st_size
        if weights_format(name):
            with file.open("rb") as opened:
                _note(flaws, name, flaw(name, size, opened))
    return View("folder", path, files, flaws)


def _archive(path: Path, target: Path, *, whole_code: bool) -> View:
    files: dict[str, int | None] = {}
    flaws: dict[str, str] = {}
    with reading(path) as tar:
        for member in bounded(tar, path):
            # Refuses what a conversion would refuse, also where nothing is unpacked.
            tarfile.data_filter(member, str(target))
            name = os.path.normpath(member.name.lstrip("/"))
            code = name.startswith(f"{CODE}/")
            if member.islnk():
                files[name] = files.get(os.path.normpath(member.linkname))
                if not (target / member.linkname).is_file():
                    continue
            elif member.issym():
                files[name] = None
            elif not member.isfile():
                continue
            else:
                files[name] = member.size
                opened = tar.extractfile(member) if weights_format(name) and not code else None
                if opened is not None:
                    _note(flaws, name, flaw(name, member.size, opened))
                    continue
                if member.size > SMALL and not (code and whole_code):
                    continue
            tar.extract(member, target, filter="data")
    return View("archive", target, files, flaws)


def _note(flaws: dict[str, str], name: str, found: str | None) -> None:
    if found is not None:
        flaws[name] = found
