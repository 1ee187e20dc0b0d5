"""A job: files of lines through an endpoint, several bodies at a time, each result written in order and whole."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from server.errors import ServerError
from server.lines import error_line, failure
from server.transform.display import Display
from server.transform.endpoint import Endpoint, Refused
from server.transform.reading import MAX_LINE, Chunk, chunks
from server.transform.stores import RESULT, Item, Source, Target


@dataclass(frozen=True)
class Pace:
    """How much a job sends at once."""

    lines: int
    """In one body, at most."""
    bodies: int
    """At the same time."""


@dataclass
class Outcome:
    """What a job came to."""

    files: int = 0
    lines: int = 0
    bad: int = 0


def select(source: Source, target: Target, *, redo: bool) -> tuple[list[Item], int]:
    """The files that have no result yet, or one older than they are, or all of them; and how many are left out."""
    items = source.items()
    if not items:
        raise ServerError("the input has no file of lines: their names end in .jsonl, .jsonlines or .ndjson")
    finished = {} if redo else target.finished()
    left = [item for item in items if finished.get(item.name + RESULT, -1.0) < item.changed]
    return left, len(items) - len(left)


def run(
    source: Source, target: Target, items: Sequence[Item], endpoint: Endpoint, pace: Pace, display: Display
) -> Outcome:
    """Transform files. A line that fails gets an error object in its place, and is told of.

    ServerError where the job cannot go on; what is finished until then stays, and nothing else does.
    """
    outcome = Outcome()
    with closing(_answered(chunks(source, items, pace.lines), endpoint, pace)) as answered:
        for item in items:
            with target.create(item.name + RESULT) as file:
                for chunk, answers in answered:
                    _write(file, chunk, answers, outcome, display)
                    if chunk.last:
                        break
            outcome.files += 1
            display.finished()
    return outcome


def _answered(
    parts: Generator[Chunk, None, None], endpoint: Endpoint, pace: Pace
) -> Generator[tuple[Chunk, list[bytes]], None, None]:
    """Chunks with their answers, in order, some of them on their way at any time."""
    pool = ThreadPoolExecutor(pace.bodies, "transform")
    waiting: deque[tuple[Chunk, Future[list[bytes]]]] = deque()
    try:
        with closing(parts):
            for chunk in parts:
                waiting.append((chunk, pool.submit(_ask, endpoint, chunk)))
                # As many again may be answered already while the first one is waited for.
                if len(waiting) == 2 * pace.bodies:
                    first, future = waiting.popleft()
                    yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        # A request may take an hour; who gives up does not wait for it.
        pool.shutdown(wait=False, cancel_futures=True)


def _ask(endpoint: Endpoint, chunk: Chunk) -> list[bytes]:
    if chunk.too_long:
        return [error_line(413, "BodyTooLarge", f"the line has more than {MAX_LINE} bytes")]
    return _ask_lines(endpoint, chunk.lines)


def _ask_lines(endpoint: Endpoint, lines: Sequence[bytes]) -> list[bytes]:
    if not lines:
        return []
    try:
        return endpoint.ask(lines)
    except Refused as error:
        if len(lines) == 1:
            return [error_line(error.status, error.kind, str(error))]
        middle = len(lines) // 2
        return _ask_lines(endpoint, lines[:middle]) + _ask_lines(endpoint, lines[middle:])


def _write(file: BinaryIO, chunk: Chunk, answers: Sequence[bytes], outcome: Outcome, display: Display) -> None:
    bad = 0
    for number, answer in zip(chunk.numbers, answers, strict=True):
        file.write(answer)
        file.write(b"\n")
        why = failure(answer)
        if why is not None:
            display.note(f"{chunk.item.place}:{number}: {why}")
            bad += 1
    outcome.lines += len(answers)
    outcome.bad += bad
    display.advance(chunk.size, len(answers))
