"""Files cut into the bodies that a job sends."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from server.lines import BOM
from server.transform.stores import Item, Source

MAX_LINE = 100 * 2**20
"""Bytes of a line; SageMaker's batch transform takes no more of a record either."""
BODY = 2**20
"""Bytes of a body, unless a single line is longer."""


@dataclass(slots=True)
class Chunk:
    """Some lines of a file, in order."""

    item: Item
    last: bool = False
    lines: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    """Where the lines stand in their file, from 1; blank ones are none."""
    size: int = 0
    """Bytes of the file from the end of the chunk before to the end of this one."""
    too_long: bool = False
    """Whether this is a line that is too long, of which nothing was kept."""


def chunks(source: Source, items: Iterable[Item], most: int) -> Generator[Chunk, None, None]:
    """The files one after the other, in chunks of at most so many lines; each file has a last chunk, maybe empty."""
    for item in items:
        with source.open(item) as file:
            for chunk in _cut(item, file, most):
                if chunk.last:
                    source.check(item)
                yield chunk


def _cut(item: Item, file: BinaryIO, most: int) -> Iterator[Chunk]:
    chunk, size = Chunk(item), 0
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        text = (line.removeprefix(BOM) if number == 1 else line).strip()
        too_long = len(line) > MAX_LINE and not line.endswith(b"\n")
        if chunk.lines and (too_long or chunk.too_long or len(chunk.lines) == most or size + len(text) > BODY):
            yield chunk
            chunk, size = Chunk(item), 0
        chunk.size += len(line)
        while too_long and not line.endswith(b"\n") and (line := file.readline(MAX_LINE)):
            chunk.size += len(line)
        if text or too_long:
            chunk.too_long = too_long
            chunk.lines.append(b"" if too_long else text)
            chunk.numbers.append(number)
            size += len(text)
    chunk.last = True
    yield chunk
