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
from server.errors import ServerError, UnknownModel
from server.lifelines import Lifelines
from server.model import Model
from server.placing import Placing, concurrency
from server.revival import BACKOFF, MAX_RESTARTS, Revival
from server.rundir import RunDir
from server.triton import binary
from server.triton.arguments import TritonOptions
from server.triton.client import TritonClient
from server.triton.failures import LoadFailed, ProcessDied
from server.triton.process import TritonProcess, free_ports
from server.triton.startup import start

logger = logging.getLogger(__name__)

UNLOAD_GRACE = 20.0
"""Seconds that the calls of a model which is unloaded get to end."""


class Keeper:
    """One tritonserver and the models in it."""

    def __init__(
        self,
        run_dir: RunDir,
        environ: Mapping[str, str],
        *,
        load_deadline: float,
        multi_model: bool = False,
        port_range: range | None = None,
        placing: Placing = Placing(),  # noqa: B008
        triton: TritonOptions = TritonOptions(),  # noqa: B008
    ) -> None:
        """`load_deadline` in seconds. With `multi_model`, a model that cannot be brought back ends alone."""
        self.models: dict[str, Model] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Gets the ServerError that ends the server: something died and could not be brought back."""
        self._restarts = 0
        self.spool = wire.Spool.create(run_dir.path / "spool")
        self.repository = run_dir.path / "repository"
        self.repository.mkdir()
        self._run_dir = run_dir
        self._environ = environ
        self._load_deadline = load_deadline
        self._multi_model = multi_model
        self._port_range = port_range
        self._placing, self._triton = placing, triton
        self._lifelines = Lifelines(run_dir.path / "keeper.sock", self._backend_died)
        self._binary: binary.Binary | None = None
        self._process: TritonProcess | None = None
        self._client: TritonClient | None = None
        self._watch: asyncio.Task[None] | None = None
        self._revival = Revival(
            self._lifelines, lambda: self.client, load_deadline, lost=self._lost, too_many=self._start_afresh
        )
        self._stopping = False

    @property
    def client(self) -> TritonClient:
        assert self._client is not None  # noqa: S101
        return self._client

    @property
    def metrics_port(self) -> int | None:
        return self._process.ports.metrics if self._process else None

    @property
    def healthy(self) -> bool:
        """Whether every model can be called now; of many, whether any could be."""
        return self._client is not None and (self._multi_model or all(model.loaded for model in self.models.values()))

    @property
    def restarts(self) -> int:
        """Times that something dead was brought back."""
        return self._restarts + self._revival.revived

    @property
    def up(self) -> bool:
        """Whether tritonserver runs."""
        return self._client is not None

    async def start(self) -> None:
        """Start tritonserver, with no model in it. ServerError where it does not come up."""
        self._binary = binary.find(self._run_dir.path, self._environ)
        await self._lifelines.open()
        await self._start_triton()
        self._watch = asyncio.create_task(self._watch_triton())

    def model(self, name: str) -> Model:
        """A model that is loaded. UnknownModel if there is none of that name."""
        if name not in self.models:
            raise UnknownModel(f"model {name} is not loaded")
        return self.models[name]

    def processes(self, manifest: Manifest) -> int:
        """How many processes a model gets now; NoRoomError where shared memory has no room for one."""
        return self._placing.count(manifest, self._triton.instance_bytes)

    async def load(self, name: str, entry: Path) -> Model:
        """Show an entry to Triton under a name and load it. ServerError with the reason where that fails."""
        version = entry / VERSION
        manifest = Manifest.read(version)
        count = self.processes(manifest)
        if manifest.one_at_a_time:
            logger.info("model %s answers one request after the other, in %d processes", name, count)
        shown = self.repository / name
        batched = not manifest.one_at_a_time
        self._placing.show(entry, shown, count, queued=not batched, on_cards=batched and manifest.tier == "fast")
        model = Model(
            name,
            manifest,
            runs_user_code=(version / CODE).is_dir(),
            concurrency=concurrency(manifest, count),
        )
        try:
            await self.client.load(name, self._load_deadline)
        except (LoadFailed, ProcessDied) as error:
            # A load that takes too long goes on in Triton until its process ends.
            await self._lifelines.wait_until_ended(name, timeout=0)
            await self._clear(name)
            raise ServerError(str(error)) from error
        self.models[name] = model
        await model.came_up()
        return model

    async def unload(self, model: Model) -> None:
        """Take a model out. New calls find it gone; it ends when those it has are answered, with all its processes.

        Returns when what it held is free.
        """
        if self.models.get(model.name) is not model:
            return
        del self.models[model.name]
        await model.retire(UNLOAD_GRACE)
        await self._revival.end(model.name)
        if self._client is not None:
            self._client.abandon(model.name)
        await self._clear(model.name)

    def suspect(self, model: Model, generation: int, reason: str) -> None:
        """A call found the model's process dead or gone; ignored where that process was replaced since."""
        if model.generation == generation and model.loaded and self._client is not None:
            logger.error("a call to model %s found its process gone (%s): loading it again", model.name, reason)
            self._revival.begin(model)

    async def stop(self) -> None:
        """End tritonserver and every backend."""
        self._stopping = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._revival.end()
        if self._client is not None:
            await self._client.close()
        if self._process is not None:
            await self._process.stop()
        self._lifelines.kill_all()
        await self._lifelines.close()

    async def _clear(self, name: str) -> None:
        """Leave nothing of a model: not in Triton, not as a process, not in the repository."""
        client = self._client
        try:
            if client is not None:
                await client.unload(name, self._load_deadline)
            await self._lifelines.wait_until_ended(name, timeout=5)
            if client is not None:
                await client.wait_until_unloaded(name, timeout=5)
        except ProcessDied:
            pass  # and its backends with it
        shutil.rmtree(self.repository / name, ignore_errors=True)

    async def _start_triton(self) -> None:
        assert self._binary is not None  # noqa: S101
        environ = {
            **self._environ,
            wire.SPOOL_ENV: str(self._run_dir.path / "spool"),
            wire.KEEPER_ENV: str(self._lifelines.path),
        }
        process, client = await start(
            self._binary,
            self.repository,
            free_ports(self._port_range),
            self._run_dir.shm_prefix,
            environ,
            self._triton.arguments(),
        )
        self._process, self._client = process, client
        logger.debug("tritonserver runs as process %d", process.pid)

    async def _watch_triton(self) -> None:
        """Bring tritonserver and its models back whenever it ends; report to `failed` when that is in vain."""
        attempts = 0
        while True:
            assert self._process is not None  # noqa: S101
            code = await self._process.wait()
            logger.error("tritonserver ended with %s: starting it again", _exit(code))
            began = time.monotonic()
            for model in self.models.values():
                model.went_down()
            await self._revival.end()
            if self._client is not None:
                await self._client.close()
                self._client = None
            await self._process.stop()
            self._lifelines.kill_all()
            try:
                await self._start_triton()
                await self._load_again()
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
            self._restarts += 1
            logger.warning("tritonserver is back after %.1f s", time.monotonic() - began)

    async def _load_again(self) -> None:
        """Every model, into a new tritonserver."""
        for model in list(self.models.values()):
            try:
                await self.client.load(model.name, self._load_deadline)
            except LoadFailed as failure:
                if not self._multi_model:
                    raise
                await self._drop(model, failure)
            else:
                await model.came_up()

    async def _drop(self, model: Model, why: object) -> None:
        """One of many that cannot be brought back."""
        logger.error("model %s cannot be brought back and is unloaded: %s", model.name, why)
        self.models.pop(model.name, None)
        await model.retire(0)
        await self._clear(model.name)

    def _backend_died(self, name: str, pid: int) -> None:
        model = self.models.get(name)
        if self._stopping or model is None or not model.loaded:
            return
        logger.error("the process %d of model %s ended: loading it again", pid, name)
        self._revival.begin(model)

    async def _lost(self, model: Model, reason: str) -> None:
        if self._multi_model:
            await self._drop(model, reason)
        else:
            self._give_up(f"model {model.name} cannot be brought back: {reason}")

    def _start_afresh(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _give_up(self, reason: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(ServerError(reason))


def _exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"
