"""model.tar.gz to a folder, trusting nothing in it."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
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
    ceiling = min(MAX_BYTES, MAX_RATIO * archive.stat().st_size + 2**20)
    try:
        with tarfile.open(archive, "r|*") as tar:
            for member in _bounded(tar, ceiling):
                tar.extract(member, target, filter="data")
    except tarfile.FilterError as error:
        raise ConversionError(f"{archive.name} is refused: {error}") from error
    except (tarfile.TarError, EOFError) as error:
        raise ConversionError(f"{archive.name} is not a readable tar archive: {error}") from error
    except OSError as error:
        if error.errno is None:  # gzip's BadGzipFile
            raise ConversionError(f"{archive.name} is not a readable tar archive: {error}") from error
        raise


def _bounded(tar: tarfile.TarFile, ceiling: int) -> Iterator[tarfile.TarInfo]:
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
