"""Work that may take minutes, cannot be interrupted, and must not keep the process from ending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """One daemon thread at a time. asyncio's own threads are waited for at the end, for up to five minutes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None

    async def run(self, function: Callable[[], T]) -> T:
        """The function's result, from the thread."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(method: Callable[[Any], None], value: object) -> None:
            if not future.done():
                method(value)

        def work() -> None:
            try:
                outcome: tuple[Any, object] = (future.set_result, function())
            except BaseException as error:
                outcome = (future.set_exception, error)
            # A loop that has closed has nobody left to tell.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, *outcome)

        self._thread = threading.Thread(target=work, name=self._name, daemon=True)
        self._thread.start()
        return await future

    async def leave(self, seconds: float) -> None:
        """Wait a little for the thread, then go without it."""
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, seconds)
