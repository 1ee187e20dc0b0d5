"""Brings a model back whose process has died: unloaded, waited for, loaded again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from server.lifelines import Lifelines
from server.model import Model
from server.triton.client import TritonClient
from server.triton.failures import LoadFailed, ProcessDied

logger = logging.getLogger(__name__)

MAX_RESTARTS = 5
"""Restarts of one thing without a success between them, before it is given up."""
MAX_DEATHS = 8
"""Backends that may die in one tritonserver: each leaves its shared memory there, of which containers have little."""
GRACE = 5.0
"""Seconds that the living instances of a model get to end their requests after one of them has died."""
BACKOFF = 0.5
"""Seconds before the second restart; doubled for each further one."""


class Revival:
    """The models that are being brought back, in a task each."""

    def __init__(
        self,
        lifelines: Lifelines,
        client: Callable[[], TritonClient],
        deadline: float,
        *,
        lost: Callable[[Model, str], Awaitable[None]],
        too_many: Callable[[], None],
    ) -> None:
        """A load may take `deadline` seconds. `lost` is told of a model that does not come back.

        `too_many` is called instead of bringing a model back, to have a new tritonserver load them all.
        """
        self.revived = 0
        self._lifelines, self._client, self._deadline = lifelines, client, deadline
        self._lost, self._too_many = lost, too_many
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._deaths = 0
        """Backends that died in the running tritonserver."""

    def begin(self, model: Model) -> None:
        model.went_down()
        self._tasks[model.name] = asyncio.create_task(self._run(model))

    async def end(self, name: str | None = None) -> None:
        """Give up one model; all of them when tritonserver has ended."""
        if name is None:
            tasks, self._tasks, self._deaths = list(self._tasks.values()), {}, 0
        else:
            task = self._tasks.pop(name, None)
            tasks = [] if task is None else [task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, model: Model) -> None:
        began, error = time.monotonic(), ""
        if self._lifelines.of(model.name):
            # Only the calls that the dead instance had stay open.
            await self._client().quiet(model.name, GRACE)
        self._client().abandon(model.name)
        self._deaths += 1
        if self._deaths > MAX_DEATHS:
            logger.warning("%d backends have died in this tritonserver: starting it afresh", self._deaths)
            self._too_many()
            return
        for attempt in range(MAX_RESTARTS):
            if attempt:
                logger.error("model %s did not come back: %s", model.name, error)
                await asyncio.sleep(BACKOFF * 2**attempt)
            try:
                await self._client().unload(model.name, self._deadline)
                await self._lifelines.wait_until_ended(model.name, timeout=5)
                await self._client().load(model.name, self._deadline)
            except ProcessDied:
                return  # tritonserver itself is gone; its watch loads the model again
            except LoadFailed as failure:
                error = str(failure)
                continue
            await model.came_up()
            self.revived += 1
            logger.warning("model %s is back after %.1f s", model.name, time.monotonic() - began)
            return
        await self._lost(model, error)
