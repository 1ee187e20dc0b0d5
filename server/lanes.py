"""Calls to a model that answers them one after the other, sent to Triton a few at a time."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from server.errors import HTTPError
from server.triton.messages import Answer, Call

GROUP = 16
"""Calls in one Triton request at most."""
GROUP_SECONDS = 0.004
"""What a group may take the model: calls that take it half of that and more go one by one."""
GROUP_BYTES = 2**20
SHORTEST = 1e-6
_FADE = 0.2
"""Weight of the newest group in the estimate of a call's time; a slow one counts at once."""

Send = Callable[[Sequence[Call]], Awaitable[list[Answer | HTTPError]]]


class Lane:
    """Keeps every process of a model at work, and lets what they need not have yet wait here.

    A call costs gRPC, Triton and the backend half a millisecond between them, more than many a script takes. Quick
    calls that are waiting anyway therefore share one Triton request.
    """

    def __init__(self, send: Send, width: int) -> None:
        """`width` is the number of requests that Triton holds at once."""
        self._send, self._free = send, width
        self._waiting: deque[tuple[Call, asyncio.Future[Answer]]] = deque()
        self._seconds = GROUP_SECONDS
        """Estimate of what one call takes."""
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

    def _group(self) -> list[tuple[Call, asyncio.Future[Answer]]]:
        """The next calls to send: as many as are quick, and a fair part of what waits."""
        fair = math.ceil(len(self._waiting) / self._free)
        most = max(1, min(GROUP, fair, int(GROUP_SECONDS / self._seconds)))
        group: list[tuple[Call, asyncio.Future[Answer]]] = []
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

    async def _run(self, group: list[tuple[Call, asyncio.Future[Answer]]]) -> None:
        try:
            answers: Sequence[Answer | BaseException] = await self._send([call for call, _ in group])
        except asyncio.CancelledError:
            answers = [asyncio.CancelledError()] * len(group)
        except Exception as error:
            answers = [error] * len(group)
        finally:
            self._free += 1
        first = answers[0]
        if isinstance(first, Answer) and "seconds" in first.attributes:
            # Its own word, because the way there and back says more of how busy the machine is.
            took = first.attributes["seconds"]
            self._seconds = max(took, self._seconds + _FADE * (took - self._seconds), SHORTEST)
        for (_, future), answer in zip(group, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._start()


def _cancel_unwanted(
    group: list[tuple[Call, asyncio.Future[Answer]]], task: asyncio.Task[None], _done: asyncio.Future[Answer]
) -> None:
    """End a request that nobody waits for any more."""
    if all(future.cancelled() for _, future in group):
        task.cancel()
