"""A body of many lines through a model: each line a call, many calls in flight, the answers in the lines' order."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import IO, TYPE_CHECKING, BinaryIO, cast
from weakref import WeakKeyDictionary

from huggingface_backend import wire
from huggingface_backend.media_types import JSON
from server.bodies import Body, Chunks, on_disk, sent
from server.errors import BackendDied, BackendFailure, HTTPError, LineFailed
from server.groups import GROUP
from server.lines import COUNT_HEADER, Format, Reading, error_line, one_line, recognise, records
from server.model import Model
from server.triton.messages import Answer, Call

if TYPE_CHECKING:
    from server.invocations import Invoker

GROUP_BYTES = 256 * 1024
"""Bytes of the lines in one Triton request, unless a single line is longer."""
GROUPS = 16
"""Triton requests with lines of one model at once, over all bodies: the engine has its next wave while it runs one, and
what they hold of /dev/shm stays under 4 MB."""
MEMORY = 8 * 2**20
"""Bytes of an answer that are held in memory; a longer one is a file."""

_INPUT_READERS = frozenset({"input_fn", "transform_fn"})

Group = list[tuple[int, bytes]]
Outcomes = list[tuple[int, bytes | HTTPError]]


@dataclass(frozen=True, slots=True)
class Lines:
    """An answer of lines: in memory, or where it is long in a file of its own."""

    body: bytes
    content_type: str
    bad: int
    """How many lines are failures."""
    file: BinaryIO | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {COUNT_HEADER: str(self.bad)}

    def chunks(self, on_close: Callable[[], None]) -> Chunks | None:
        """The pieces of a long answer; None where it is in memory."""
        if self.file is None:
            return None
        return sent(self.file, on_close)


class Bulk:
    """Answers bodies of lines."""

    def __init__(self, invoker: Invoker, spool: wire.Spool, reading: Reading) -> None:
        self._invoker, self._spool, self._reading = invoker, spool, reading
        self._free: WeakKeyDictionary[Model, asyncio.Semaphore] = WeakKeyDictionary()

    async def answer(self, model: Model, body: Body, headers: Mapping[str, str]) -> Lines | None:
        """The answer to a body of lines, None for any other body.

        Raises the failure of the first line that fails, where such lines are not to be marked.
        """
        form = recognise(
            headers.get("content-type", JSON),
            headers.get("accept", ""),
            partial(body.open, self._spool),
            self._reading,
            own_reader=not _INPUT_READERS.isdisjoint(model.manifest.hooks),
        )
        if form is None:
            return None
        # It has no name: what a killed server leaves takes no room.
        output = tempfile.SpooledTemporaryFile(MEMORY)  # noqa: SIM115
        try:
            with body.open(self._spool) as lines:
                bad = await self._write(output, model, records(lines, form), form, headers)
            size = output.tell()
            output.seek(0)
            if size > MEMORY:
                return Lines(b"", form.answer_type, bad, cast("BinaryIO", output))
            return Lines(output.read(), form.answer_type, bad)
        except BaseException:
            output.close()
            raise

    async def _write(
        self,
        output: IO[bytes],
        model: Model,
        lines: Iterator[tuple[int, bytes]],
        form: Format,
        headers: Mapping[str, str],
    ) -> int:
        bad, separator = 0, b""
        async with aclosing(self._outcomes(model, lines, headers)) as outcomes:
            async for number, outcome in outcomes:
                if isinstance(outcome, HTTPError):
                    if not (form.mark and isinstance(outcome, BackendFailure | BackendDied)):
                        raise outcome if form.whole else LineFailed(number, outcome)
                    bad += 1
                    outcome = error_line(outcome.status, outcome.type, str(outcome))
                with on_disk():
                    output.write(separator)
                    output.write(outcome)
                separator = b"\n"
        return bad

    async def _outcomes(
        self, model: Model, lines: Iterator[tuple[int, bytes]], headers: Mapping[str, str]
    ) -> AsyncGenerator[tuple[int, bytes | HTTPError], None]:
        """Every line's answer or failure, in order. Ends what is in flight when it is closed."""
        rows = wire.MAX_BATCH_SIZE
        width = GROUPS
        if model.in_turn:
            assert model.concurrency is not None  # noqa: S101
            # One by one they take their time: no more than keep its processes busy, for others wait behind them.
            rows, width = GROUP, model.concurrency
        free = self._free.setdefault(model, asyncio.Semaphore(width))
        attributes = json.dumps({**headers, "content-type": JSON, "accept": JSON}) if model.runs_user_code else ""
        running: deque[asyncio.Task[Outcomes]] = deque()
        try:
            for group in _groups(lines, rows):
                await free.acquire()
                task = asyncio.create_task(self._run(model, group, attributes))
                task.add_done_callback(lambda _: free.release())
                running.append(task)
                while running and (running[0].done() or len(running) >= width):
                    for outcome in await running.popleft():
                        yield outcome
            while running:
                for outcome in await running.popleft():
                    yield outcome
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, model: Model, group: Group, attributes: str) -> Outcomes:
        stored: list[str] = []
        try:
            calls = [self._call(model, line, attributes, stored) for _, line in group]
            answers = await self._invoker.infer(model, calls)
        finally:
            for name in stored:
                self._spool.remove(name)
        trusted = not model.runs_user_code
        return [(number, self._line(answer, trusted)) for (number, _), answer in zip(group, answers, strict=True)]

    def _call(self, model: Model, line: bytes, attributes: str, stored: list[str]) -> Call:
        name = ""
        if len(line) > wire.SPOOL_ABOVE:
            name = self._spool.write(line)
            stored.append(name)
            line = b""
        return Call(model.name, line, JSON, JSON, attributes, name)

    def _line(self, answer: Answer | HTTPError, trusted: bool) -> bytes | HTTPError:
        if isinstance(answer, HTTPError):
            return answer
        body = answer.body
        if answer.body_file:
            body = self._spool.read(answer.body_file)
            self._spool.remove(answer.body_file)
        status = answer.attributes.get("status", 200)
        if status >= 400:
            # A status that a script has set beside its answer.
            return BackendFailure(status, "ScriptStatus", body.decode("utf-8", "replace"))
        try:
            return one_line(body, answer.content_type, trusted=trusted)
        except HTTPError as error:
            return error


def _groups(lines: Iterator[tuple[int, bytes]], rows: int) -> Iterator[Group]:
    """Lines that share a Triton request."""
    group: Group = []
    size = 0
    for number, line in lines:
        if group and (len(group) == rows or size + len(line) > GROUP_BYTES):
            yield group
            group, size = [], 0
        group.append((number, line))
        size += len(line)
    if group:
        yield group
