"""One model as the adapter sees it: may it be called now, and since which start of its processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from huggingface_backend.manifest import Manifest
from server.errors import UnknownModel


@dataclass(eq=False)
class Model:
    """Calls wait while the model's processes are brought back, and while a call that died is tried again."""

    name: str
    manifest: Manifest
    runs_user_code: bool
    concurrency: int | None = None
    """Requests that Triton may hold at once, of calls that came singly; None for any number."""

    def __post_init__(self) -> None:
        self.generation = 0
        """Counts the starts of the model's processes."""
        self.loaded = False
        self.calls = 0
        """Calls under way, waiting ones included."""
        self.coming = 0
        """Calls that are let in and will be under way when the event loop has had its turn."""
        self._retired = False
        self._retrying = 0
        self._changed = asyncio.Condition()
        self._one_retry = asyncio.Lock()

    @property
    def in_turn(self) -> bool:
        """Whether its processes answer one call after the other."""
        return self.manifest.one_at_a_time

    async def came_up(self) -> None:
        async with self._changed:
            self.generation += 1
            self.loaded = True
            self._changed.notify_all()

    def came(self) -> None:
        self.coming -= 1

    def went_down(self) -> None:
        self.loaded = False

    async def retire(self, timeout: float) -> None:
        """Returns when the calls under way have ended, at the latest after the timeout (seconds).

        Calls that still wait for the model then get UnknownModel.
        """
        deadline = time.monotonic() + timeout
        while self.calls and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        async with self._changed:
            self._retired = True
            self.loaded = False
            self._changed.notify_all()

    async def ready(self) -> int:
        """The generation to call; returns once the model is loaded and nothing is being tried again."""
        if not self.loaded or self._retrying:
            await self._until(lambda: self.loaded and not self._retrying)
        return self.generation

    async def up(self, after: int) -> int:
        """The generation once it is a later one, whatever else is being tried."""
        await self._until(lambda: self.loaded and self.generation > after)
        return self.generation

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._retired or condition())
        if self._retired:
            raise UnknownModel(f"model {self.name} was unloaded")

    @asynccontextmanager
    async def quarantine(self) -> AsyncIterator[None]:
        """One retry at a time, with no other call beside it.

        A call that kills its process on every try can so take no other down with it.
        """
        self._retrying += 1
        try:
            async with self._one_retry:
                yield
        finally:
            self._retrying -= 1
            async with self._changed:
                self._changed.notify_all()
