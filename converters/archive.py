"""model.tar.gz to a folder, trusting nothing in it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from converters.errors import ConversionError

MAX_ENTRIES = 20_000
MAX_BYTES = 200 * 2**30
MAX_RATIO = 100
"""Expanded bytes for each byte of the archive; weights compress to a half, text to a tenth, a bomb to a thousandth."""


def extract(archive: Path, target: Path) -> None:
    """Unpack a tar, compressed or not, into an existing folder.

    Absolute paths, `..`, links out of the folder, devices, too many entries and too many bytes are refused with
    a ConversionError that names the entry.
    """
    with reading(archive) as tar:
        for member in bounded(tar, archive):
            tar.extract(member, target, filter="data")


@contextmanager
def reading(archive: Path) -> Iterator[tarfile.TarFile]:
    """A tar to be read from front to back; what is wrong with it is a ConversionError."""
    try:
        with tarfile.open(archive, "r|*") as tar:
            yield tar
    except tarfile.FilterError as error:
        raise ConversionError(f"{archive.name} is refused: {error}") from error
    except (tarfile.TarError, EOFError) as error:
        raise ConversionError(f"{archive.name} is not a readable tar archive: {error}") from error
    except OSError as error:
        if error.errno is None:  # gzip's BadGzipFile
            raise ConversionError(f"{archive.name} is not a readable tar archive: {error}") from error
        raise


def bounded(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """A tar's members; ConversionError when they become too many or too large."""
    ceiling = min(MAX_BYTES, MAX_RATIO * archive.stat().st_size + 2**20)
    total = 0
    for count, member in enumerate(tar, 1):
        total += member.size
        if count > MAX_ENTRIES:
            raise ConversionError(f"the archive is refused: more than {MAX_ENTRIES} entries")
        if total > ceiling:
            raise ConversionError(
                f"the archive is refused: {member.name} takes it over {ceiling / 2**20:.0f} MiB expanded"
            )
        yield member
