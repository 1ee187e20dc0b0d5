"""Ends the work for a client that has disconnected."""

from __future__ import annotations

import asyncio
from types import TracebackType

from starlette.requests import ClientDisconnect
from starlette.types import Receive

WATCH_AFTER = 0.25
"""Seconds before a client is watched: what is answered sooner is not worth a task."""


class WhileConnected:
    """A block that is cancelled when its client disconnects, and then raises ClientDisconnect.

    The request's body has been read before: what comes next on the connection is its end.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._block: asyncio.Task[object] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._gone = False

    def __enter__(self) -> None:
        self._block = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER, self._start)

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()
        if self._gone and self._block is not None and not self._block.uncancel() and kind is asyncio.CancelledError:
            raise ClientDisconnect from None

    def _start(self) -> None:
        self._watch = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        assert self._block is not None  # noqa: S101
        self._gone = True
        self._block.cancel()
