"""The models that a platform loads and unloads while the server runs."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from pathlib import Path
from typing import Any

from converters.entry import VERSION
from converters.errors import ConversionError
from converters.room import make_room
from huggingface_backend.errors import EntryError
from huggingface_backend.manifest import Manifest
from server import memory
from server.conversion import Conversion
from server.errors import (
    AlreadyLoaded,
    BadRequest,
    NoRoomError,
    OutOfSpace,
    ServerError,
    Unavailable,
    Unservable,
)
from server.keeper import Keeper
from server.memory import Memory

logger = logging.getLogger(__name__)

PAGE = 100
"""Models in one answer to a listing."""
DISK = 64 * memory.MIB
"""Disk that a conversion takes beside the model."""
LOOK = 0.2
"""Seconds between two looks at the memory while a conversion runs."""


class Library:
    """Loads side by side, each of them whole or without a trace."""

    def __init__(self, keeper: Keeper, conversion: Conversion, memory: Memory, root: Path) -> None:
        """Models lie below `root`; what does not is refused."""
        self.draining = False
        self._keeper, self._conversion, self._memory, self._root = keeper, conversion, memory, root
        self._urls: dict[str, str] = {}
        self._entries: dict[str, Path] = {}
        self._loading: set[str] = set()

    async def load(self, name: str, url: str) -> None:
        """Load the model at a path under a name, converting it first where that was not done.

        HTTPError with the status of the reason, where there is no such model afterwards.
        """
        if name in self._keeper.models or name in self._loading:
            raise AlreadyLoaded(f"model {name} is loaded already")
        source = self._below_root(url)
        if self.draining:
            raise Unavailable("the server is stopping")
        if not self._keeper.up:
            raise Unavailable("tritonserver is being started")
        self._loading.add(name)
        try:
            await self._load(name, source)
        except (ConversionError, EntryError) as error:
            raise Unservable(str(error)) from error
        except NoRoomError as error:
            raise OutOfSpace(str(error)) from error
        except ServerError as error:
            raise (Unservable(str(error)) if self._keeper.up else Unavailable(str(error))) from error
        finally:
            self._loading.discard(name)
            if name not in self._keeper.models:
                self._entries.pop(name, None)
        self._urls[name] = url

    async def unload(self, name: str) -> None:
        """Returns when a model's calls are answered and its processes have ended. UnknownModel if it is not loaded."""
        await self._keeper.unload(self._keeper.model(name))
        self._urls.pop(name, None)
        self._entries.pop(name, None)
        logger.info("model %s is unloaded", name)

    def describe(self, name: str) -> dict[str, str]:
        """A model's name and path; UnknownModel if it is not loaded."""
        self._keeper.model(name)
        return {"modelName": name, "modelUrl": self._urls.get(name, "")}

    def page(self, after: str) -> dict[str, Any]:
        """Up to a hundred models, in the order of their names, behind a name; `nextPageToken` where there are more."""
        names = sorted(self._keeper.models)
        begin = bisect_right(names, after)
        listed: dict[str, Any] = {"models": [self.describe(name) for name in names[begin : begin + PAGE]]}
        if begin + PAGE < len(names):
            listed["nextPageToken"] = names[begin + PAGE - 1]
        return listed

    def _below_root(self, url: str) -> Path:
        if not url.startswith("/") or "\0" in url:
            raise BadRequest("url must be the absolute path of a model's folder or archive")
        path = Path(url).resolve()
        if not path.is_relative_to(self._root.resolve()) or path == self._root.resolve():
            raise BadRequest(f"url must be below {self._root}")
        if not path.exists():
            raise BadRequest(f"there is nothing at {url}")
        return path

    async def _load(self, name: str, source: Path) -> None:
        entry = await asyncio.to_thread(self._conversion.ready, source)
        if entry is None:
            await self._disk(name, source)
            need = await asyncio.to_thread(memory.to_convert, source)
            async with self._memory.room(need, f"converting model {name}"):
                entry = await self._converted(name, source)
        self._entries[name] = entry
        manifest = Manifest.read(entry / VERSION)
        need = await asyncio.to_thread(memory.to_serve, entry, manifest, self._keeper.processes(manifest))
        async with self._memory.room(need, f"model {name}"):
            model = await self._keeper.load(name, entry)
        if await asyncio.to_thread(self._memory.short):
            await self._keeper.unload(model)
            raise OutOfSpace(f"model {name} leaves too little memory for requests")
        logger.info("model %s: %s, %s tier, %s", name, manifest.task, manifest.tier, manifest.gate.describe())

    async def _disk(self, name: str, source: Path) -> None:
        need = 2 * await asyncio.to_thread(memory.size, source) + DISK
        used = list(self._entries.values())
        if not await asyncio.to_thread(make_room, self._conversion.cache, need, used):
            raise OutOfSpace(
                f"converting model {name} takes about {need / memory.MIB:.0f} MiB of disk, which is not free"
            )

    async def _converted(self, name: str, source: Path) -> Path:
        short = False

        async def look() -> None:
            nonlocal short
            while not short:
                await asyncio.sleep(LOOK)
                short = await asyncio.to_thread(self._memory.short)

        looking = asyncio.create_task(look())
        try:
            return await self._conversion.run(name, source)
        except ConversionError as error:
            # A process that the kernel killed for want of memory cannot say so itself.
            if short:
                raise OutOfSpace(f"too little memory to convert model {name}: {error}") from error
            raise
        finally:
            looking.cancel()
