"""Keeps Triton and its models alive: starts them, notices their deaths, brings them back, ends them.

Triton itself neither restarts a Python backend that died nor says so: the model stays "ready" and every
request fails. Backends therefore report to `Lifelines`, and a model whose process ended is unloaded, waited
for and loaded again.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from converters.entry import VERSION
from huggingface_backend import wire
from huggingface_backend.manifest import Manifest
from huggingface_backend.script import CODE
from server.errors import ServerError
from server.lifelines import Lifelines
from server.model import Model
from server.placing import instances, show
from server.rundir import RunDir
from server.triton import binary
from server.triton.client import LoadFailed, ProcessDied, TritonClient
from server.triton.process import TritonProcess, free_ports

logger = logging.getLogger(__name__)

START_DEADLINE = 60.0
"""Seconds for tritonserver to accept calls."""
MAX_RESTARTS = 5
"""Restarts of one thing without a success between them, before the server gives up."""
MAX_DEATHS = 8
"""Backends that may die in one tritonserver: each leaves its shared memory there, of which containers have little."""
AHEAD = 2
"""Requests that Triton holds for each instance of a model which answers them one by one: one more than it works on, so
that it never waits. The others wait here, where the death of an instance does not reach them."""
GRACE = 5.0
"""Seconds that the living instances of a model get to end their requests after one of them has died."""
BACKOFF = 0.5
"""Seconds before the second restart; doubled for each further one."""


class Keeper:
    """One tritonserver and the models in it."""

    def __init__(
        self,
        run_dir: RunDir,
        environ: Mapping[str, str],
        *,
        load_deadline: float,
        port_range: range | None = None,
        instances: int | None = None,
    ) -> None:
        """`load_deadline` in seconds. `instances` of a model that answers one request after the other."""
        self.models: dict[str, Model] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the ServerError that ends the server: something died and could not be brought back."""
        self.restarts = 0
        self.spool = wire.Spool.create(run_dir.path / "spool")
        self.repository = run_dir.path / "repository"
        self.repository.mkdir()
        self._run_dir = run_dir
        self._environ = environ
        self._load_deadline = load_deadline
        self._port_range = port_range
        self._instances = instances
        self._lifelines = Lifelines(run_dir.path / "keeper.sock", self._backend_died)
        self._binary: binary.Binary | None = None
        self._process: TritonProcess | None = None
        self._client: TritonClient | None = None
        self._watch: asyncio.Task[None] | None = None
        self._recoveries: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._deaths = 0
        """Backends that died in the running tritonserver."""

    @property
    def client(self) -> TritonClient:
        assert self._client is not None  # noqa: S101
        return self._client

    @property
    def metrics_port(self) -> int | None:
        return self._process.ports.metrics if self._process else None

    @property
    def healthy(self) -> bool:
        """Whether every model can be called now."""
        return self._client is not None and all(model.loaded for model in self.models.values())

    async def start(self) -> None:
        """Start tritonserver, with no model in it. ServerError where it does not come up."""
        self._binary = binary.find(self._run_dir.path, self._environ)
        await self._lifelines.open()
        await self._start_triton()
        self._watch = asyncio.create_task(self._watch_triton())

    async def load(self, name: str, entry: Path) -> Model:
        """Show an entry to Triton under a name and load it. ServerError with the reason where that fails."""
        version = entry / VERSION
        manifest = Manifest.read(version)
        count = instances(manifest, self._instances)
        if manifest.one_at_a_time:
            logger.info("model %s answers one request after the other, in %d processes", name, count)
        shown = self.repository / name
        show(entry, shown, count, queued=manifest.one_at_a_time)
        model = Model(
            name,
            manifest,
            runs_user_code=(version / CODE).is_dir(),
            concurrency=AHEAD * count if manifest.one_at_a_time else None,
        )
        try:
            await self.client.load(name, self._load_deadline)
        except (LoadFailed, ProcessDied) as error:
            shutil.rmtree(shown)
            raise ServerError(str(error)) from error
        self.models[name] = model
        await model.came_up()
        return model

    def suspect(self, model: Model, generation: int, reason: str) -> None:
        """A call found the model's process dead or gone; ignored where that process was replaced since."""
        if model.generation == generation and model.loaded and self._client is not None:
            logger.error("a call to model %s found its process gone (%s): loading it again", model.name, reason)
            self._recover(model)

    async def stop(self) -> None:
        """End tritonserver and every backend."""
        self._stopping = True
        tasks = [task for task in (self._watch, *self._recoveries.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.close()
        if self._process is not None:
            await self._process.stop()
        self._lifelines.kill_all()
        await self._lifelines.close()

    async def _start_triton(self) -> None:
        assert self._binary is not None  # noqa: S101
        environ = {
            **self._environ,
            wire.SPOOL_ENV: str(self._run_dir.path / "spool"),
            wire.KEEPER_ENV: str(self._lifelines.path),
        }
        ports = free_ports(self._port_range)
        process = await TritonProcess.start(self._binary, self.repository, ports, self._run_dir.shm_prefix, environ)
        client = TritonClient(ports.grpc)
        up, ended = asyncio.create_task(client.wait_until_up()), asyncio.create_task(process.wait())
        await asyncio.wait({up, ended}, timeout=START_DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        came_up = up.done() and not ended.done()
        for task in (up, ended):
            task.cancel()
        await asyncio.gather(up, ended, return_exceptions=True)
        if not came_up:
            await client.close()
            await process.stop()
            said = next((line for line in reversed(process.last_lines) if line.strip()), "it said nothing")
            raise ServerError(f"tritonserver did not start: {said}")
        self._process, self._client, self._deaths = process, client, 0
        logger.debug("tritonserver runs as process %d", process.pid)

    async def _watch_triton(self) -> None:
        """Bring tritonserver and its models back whenever it ends; report to `failed` when that is in vain."""
        attempts = 0
        while True:
            assert self._process is not None  # noqa: S101
            code = await self._process.wait()
            logger.error("tritonserver ended with %s: starting it again", _exit(code))
            began = time.monotonic()
            for task in self._recoveries.values():
                task.cancel()
            for model in self.models.values():
                model.went_down()
            if self._client is not None:
                await self._client.close()
                self._client = None
            await self._process.stop()
            self._lifelines.kill_all()
            try:
                await self._start_triton()
                for model in self.models.values():
                    await self.client.load(model.name, self._load_deadline)
                    await model.came_up()
            except (ServerError, LoadFailed, ProcessDied, OSError) as error:
                attempts += 1
                if attempts >= MAX_RESTARTS:
                    self._give_up(f"tritonserver cannot be brought back: {error}")
                    return
                logger.error("tritonserver did not come back: %s", error)
                # It may run without its models, and the next turn waits for its end.
                await self._process.stop()
                await asyncio.sleep(BACKOFF * 2**attempts)
                continue
            attempts = 0
            self.restarts += 1
            logger.warning("tritonserver is back after %.1f s", time.monotonic() - began)

    def _backend_died(self, name: str, pid: int) -> None:
        model = self.models.get(name)
        if self._stopping or model is None or not model.loaded:
            return
        logger.error("the process %d of model %s ended: loading it again", pid, name)
        self._recover(model)

    def _recover(self, model: Model) -> None:
        model.went_down()
        self._recoveries[model.name] = asyncio.create_task(self._reload(model))

    async def _reload(self, model: Model) -> None:
        began, error = time.monotonic(), ""
        if self._lifelines.of(model.name):
            # Only the calls that the dead instance had stay open.
            await self.client.quiet(model.name, GRACE)
        self.client.abandon(model.name)
        self._deaths += 1
        if self._deaths > MAX_DEATHS and self._process is not None:
            logger.warning("%d backends have died in this tritonserver: starting it afresh", self._deaths)
            self._process.kill()
            return
        for attempt in range(MAX_RESTARTS):
            if attempt:
                logger.error("model %s did not come back: %s", model.name, error)
                await asyncio.sleep(BACKOFF * 2**attempt)
            try:
                await self.client.unload(model.name, self._load_deadline)
                await self._lifelines.wait_until_ended(model.name, timeout=5)
                await self.client.load(model.name, self._load_deadline)
            except ProcessDied:
                return  # tritonserver itself is gone; its watch loads the model again
            except LoadFailed as failure:
                error = str(failure)
                continue
            await model.came_up()
            self.restarts += 1
            logger.warning("model %s is back after %.1f s", model.name, time.monotonic() - began)
            return
        self._give_up(f"model {model.name} cannot be brought back: {error}")

    def _give_up(self, reason: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(ServerError(reason))


def _exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"
