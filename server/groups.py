"""Calls that wait anyway share requests to Triton.

A call costs gRPC, Triton and the backend half a millisecond between them, and in a group of sixteen a tenth of that.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Protocol

from server.errors import HTTPError
from server.triton.messages import Answer, Call

GROUP = 16
"""Calls in one Triton request at most."""
GROUP_SECONDS = 0.004
"""What a group may take a model that answers in turn: calls that take half of that and more go one by one."""
GROUP_BYTES = 2**20
SHORTEST = 1e-6
BATCH_BYTES = 4096
"""Bodies that share a request to a model with batches: together about what one batch takes, so that no answer waits for
the batches of others."""
_LIKE = 4
"""How many times as long as another a body may be that shares its request."""
_FADE = 0.2
"""Weight of the newest group in an estimate; a slow or large one counts at once."""


class Send(Protocol):
    """Sends calls as one request; `quick` ones will not be ended for a client that has gone."""

    def __call__(self, calls: Sequence[Call], *, quick: bool) -> Awaitable[list[Answer | HTTPError]]: ...


Waiting = tuple[Call, "asyncio.Future[Answer]"]


class Groups(ABC):
    """Keeps Triton at work with a few requests at a time, and lets what it need not have yet wait here.

    What waits here is not reached by the death of a process.
    """

    def __init__(self, send: Send, width: int) -> None:
        """`width` is the number of requests that Triton holds at once."""
        self._send, self._free = send, width
        self._waiting: deque[Waiting] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    async def infer(self, call: Call) -> Answer:
        """The answer to a call, or what sending it raised."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, future))
        self._start()
        return await future

    def _start(self) -> None:
        while self._free and (group := self._group()):
            self._free -= 1
            task = asyncio.create_task(self._run(group))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            for _, future in group:
                future.add_done_callback(partial(_cancel_unwanted, group, task))

    @property
    def quick(self) -> bool:
        """Whether what is sent next will be answered soon."""
        return True

    @abstractmethod
    def _group(self) -> list[Waiting]:
        """Takes the next calls to send from those that wait."""

    @abstractmethod
    def _learn(self, answers: Sequence[Answer | BaseException]) -> None:
        """Takes note of what a group was answered."""

    def _fair(self) -> int:
        """The part of what waits that one of the free requests should carry."""
        return math.ceil(len(self._waiting) / self._free)

    async def _run(self, group: list[Waiting]) -> None:
        try:
            answers: Sequence[Answer | BaseException] = await self._send([call for call, _ in group], quick=self.quick)
        except asyncio.CancelledError:
            answers = [asyncio.CancelledError()] * len(group)
        except Exception as error:
            answers = [error] * len(group)
        finally:
            self._free += 1
        self._learn(answers)
        for (_, future), answer in zip(group, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._start()


class InTurn(Groups):
    """For a model that answers one call after the other: quick calls share requests, slow ones do not."""

    def __init__(self, send: Send, width: int) -> None:
        super().__init__(send, width)
        self._seconds = GROUP_SECONDS
        """Estimate of what one call takes."""

    @property
    def quick(self) -> bool:
        return self._seconds <= GROUP_SECONDS / 2

    def _group(self) -> list[Waiting]:
        most = max(1, min(GROUP, self._fair(), int(GROUP_SECONDS / self._seconds)))
        group: list[Waiting] = []
        size = 0
        while self._waiting and len(group) < most:
            call, future = self._waiting[0]
            size += len(call.body)
            if group and size > GROUP_BYTES:
                break
            self._waiting.popleft()
            if not future.done():
                group.append((call, future))
        return group

    def _learn(self, answers: Sequence[Answer | BaseException]) -> None:
        first = answers[0]
        if isinstance(first, Answer) and "seconds" in first.attributes:
            # Its own word, because the way there and back says more of how busy the machine is.
            took = first.attributes["seconds"]
            self._seconds = max(took, self._seconds + _FADE * (took - self._seconds), SHORTEST)


class Together(Groups):
    """For a model with batches: calls of like length share a request, for it is answered with its slowest row."""

    def __init__(self, send: Send, width: int) -> None:
        super().__init__(send, width)
        self._size = 0.0
        """Estimate of an answer's bytes."""

    def _group(self) -> list[Waiting]:
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()
        if not self._waiting:
            return []
        # What waits behind the oldest may pass those that are not like it.
        most = max(1, min(GROUP, self._fair(), int(GROUP_BYTES / self._size) if self._size else GROUP))
        group = [self._waiting.popleft()]
        first = size = len(group[0][0].body)
        passed: list[Waiting] = []
        while self._waiting and len(group) < most:
            call, future = waiting = self._waiting.popleft()
            length = len(call.body)
            if future.done():
                continue
            if size + length <= BATCH_BYTES and length <= first * _LIKE and first <= length * _LIKE:
                group.append(waiting)
                size += length
            else:
                passed.append(waiting)
        self._waiting.extendleft(reversed(passed))
        return group

    def _learn(self, answers: Sequence[Answer | BaseException]) -> None:
        for answer in answers:
            if isinstance(answer, Answer):
                self._size = max(len(answer.body), self._size + _FADE * (len(answer.body) - self._size))


def _cancel_unwanted(group: list[Waiting], task: asyncio.Task[None], _done: asyncio.Future[Answer]) -> None:
    """End a request that nobody waits for any more."""
    if all(future.cancelled() for _, future in group):
        task.cancel()
