"""One model as the adapter sees it: may it be called now, and since which start of its processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from huggingface_backend.manifest import Manifest


@dataclass(eq=False)
class Model:
    """Calls wait while the model's processes are brought back, and while a call that died is tried again."""

    name: str
    manifest: Manifest
    runs_user_code: bool
    concurrency: int | None = None
    """Requests that Triton may hold at once; None for any number."""

    def __post_init__(self) -> None:
        self.generation = 0
        """Counts the starts of the model's processes."""
        self.loaded = False
        self._retrying = 0
        self._changed = asyncio.Condition()
        self._one_retry = asyncio.Lock()

    async def came_up(self) -> None:
        async with self._changed:
            self.generation += 1
            self.loaded = True
            self._changed.notify_all()

    def went_down(self) -> None:
        self.loaded = False

    async def ready(self) -> int:
        """The generation to call; returns once the model is loaded and nothing is being tried again."""
        if not self.loaded or self._retrying:
            async with self._changed:
                await self._changed.wait_for(lambda: self.loaded and not self._retrying)
        return self.generation

    async def up(self, after: int) -> int:
        """The generation once it is a later one, whatever else is being tried."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.loaded and self.generation > after)
        return self.generation

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
