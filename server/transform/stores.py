"""Where a job's files lie: what it reads, and where its results appear whole or not at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from server.errors import ServerError

SUFFIXES = (".jsonl", ".jsonlines", ".ndjson")
"""Names of files that a folder or prefix is searched for; a file that is named itself may be called anything."""
RESULT = ".out"
"""What SageMaker puts behind a file's name for that of its results."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file to be transformed."""

    name: str
    """Below the input, with slashes."""
    place: str
    """Its path, or its URL in S3."""
    size: int
    changed: float
    """When it was last changed, in seconds since 1970."""
    version: str
    """Of the content: its ETag in S3, its inode in a folder."""


class Source(Protocol):
    """A job's input."""

    ignored: int
    """Files that `items` left out because of their names."""

    def items(self) -> list[Item]:
        """The files, by name. ServerError where there is no such place."""

    def open(self, item: Item) -> BinaryIO:
        """A file, to be read from its beginning and closed. ServerError where it cannot be read, also later."""

    def check(self, item: Item) -> None:
        """ServerError where a file that has been read is not the one that was listed any more."""


class Target(Protocol):
    """A job's output."""

    def finished(self) -> dict[str, float]:
        """The results that are there, by name, and when they were written."""

    def create(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file for results, which appears under its name when the block ends, unless by an exception."""


class Folder:
    """A folder with what is below it, or a single file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.ignored = 0

    def items(self) -> list[Item]:
        try:
            if not self._path.is_dir():
                return [_item(self._path, self._path.name)]
            found = []
            for folder, _, names in os.walk(self._path, onerror=_unreadable):
                paths = [Path(folder) / name for name in names]
                chosen = [path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]
                self.ignored += len(paths) - len(chosen)
                found += [_item(path, path.relative_to(self._path).as_posix()) for path in chosen]
        except OSError as error:
            raise ServerError(f"{error.filename or self._path}: {error.strerror}") from error
        return sorted(found, key=lambda item: item.name)

    def open(self, item: Item) -> BinaryIO:
        try:
            return Path(item.place).open("rb")
        except OSError as error:
            raise ServerError(f"{item.place}: {error.strerror}") from error

    def check(self, item: Item) -> None:
        try:
            unchanged = _item(Path(item.place), item.name) == item
        except OSError:
            unchanged = False
        if not unchanged:
            raise ServerError(f"{item.place} was changed while it was read")


class TargetFolder:
    """A folder for results, made when the first one is written."""

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_dir():
            raise ServerError(f"{path} is a file; results need a folder, in which they are called NAME{RESULT}")
        self._path = path

    def finished(self) -> dict[str, float]:
        return {
            path.relative_to(self._path).as_posix(): path.stat().st_mtime
            for path in self._path.rglob(f"*{RESULT}")
            if path.is_file()
        }

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        path = self._path / name
        part = path.with_name(f".{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not emptied before it is ours: another job may be writing to it.
            with os.fdopen(os.open(part, os.O_CREAT | os.O_RDWR, 0o666), "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                try:
                    file.truncate()
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                    part.replace(path)
                except BaseException:
                    part.unlink(missing_ok=True)
                    raise
        except BlockingIOError:
            raise ServerError(f"{part}: another job is writing this file") from None
        except OSError as error:
            raise ServerError(f"{path}: {error.strerror}") from error


def source(place: str) -> Source:
    """The input that an argument names."""
    if place.startswith("s3://"):
        from server.transform.s3 import Prefix

        return Prefix(place)
    return Folder(Path(place))


def target(place: str) -> Target:
    """The output that an argument names. ServerError where it can be none."""
    if place.startswith("s3://"):
        from server.transform.s3 import TargetPrefix

        return TargetPrefix(place)
    return TargetFolder(Path(place))


def _item(path: Path, name: str) -> Item:
    status = path.stat()
    return Item(name, str(path), status.st_size, status.st_mtime, str(status.st_ino))


def _unreadable(error: OSError) -> None:
    raise error
