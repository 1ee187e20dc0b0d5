"""The whole server: bound first, then converted, loaded, served, drained."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import uvicorn

from converters.convert import Converter, Options
from converters.entry import is_entry, place
from converters.progress import Lines
from huggingface_backend import wire
from server.app import Adapter
from server.background import Background
from server.errors import ServerError
from server.front import Front
from server.invocations import Invoker
from server.keeper import Keeper
from server.lines import Reading
from server.metrics import Metrics
from server.placing import Placing
from server.rundir import RunDir
from server.triton.arguments import TritonOptions

if TYPE_CHECKING:
    from server.multi_model import MultiModel

logger = logging.getLogger(__name__)

CLEAN_UP = 2.0
"""Seconds for a cancelled conversion to remove what it began; the next one of the same model removes the rest."""

DRAIN = 15.0
"""Seconds for requests in flight to end after SIGTERM; with Triton's own end it stays under 25."""


@dataclass(frozen=True)
class Serving:
    """What `serve` was asked for. Times in seconds, sizes in bytes."""

    source: str | None
    cache: Path
    environ: Mapping[str, str]
    """What tritonserver and the scripts in it inherit."""
    repository: Path | None = None
    multi_model: bool = False
    """Whether models are loaded and unloaded by requests; there may be none at first."""
    base_dir: Path = Path("/opt/ml")
    """Where such models lie."""
    memory_limit: int | None = None
    """For all processes of the server; the container's or the machine's where it is None."""
    name: str | None = None
    options: Options = field(default_factory=Options)
    strict: bool = False
    """Whether a graph that does not answer like PyTorch ends the server, instead of being served by PyTorch."""
    revision: str | None = None
    token: str | None = None
    host: str = "0.0.0.0"  # noqa: S104
    port: int = 8080
    port_range: range | None = None
    timeout: float = 60.0
    startup_timeout: float = 600.0
    queue_size: int = 100
    max_body: int = 100 * 2**20
    retry_scripts: bool = False
    placing: Placing = field(default_factory=Placing)
    triton: TritonOptions = field(default_factory=TritonOptions)
    default_accept: str = "application/json"
    follow_references: bool = False
    local_endpoint: bool = True
    """Whether clients of SageMaker's runtime API are answered."""
    reading: Reading = field(default_factory=Reading)
    execution_parameters: Mapping[str, Any] = field(default_factory=dict)
    """What a batch transform job is told of this server; empty for nothing."""


def serve(serving: Serving, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT. ServerError or ConversionError where it cannot start or go on."""
    with asyncio.Runner(loop_factory=_uvloop) as runner:
        runner.run(_Server(serving, listener).run())


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


class _HTTP(uvicorn.Server):
    """uvicorn, whose signals are ours: it is told to stop only when everything in flight has been answered."""

    def __init__(self, config: uvicorn.Config, on_signal: asyncio.Event) -> None:
        super().__init__(config)
        self._on_signal = on_signal
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._on_signal.is_set():
            self.force_exit = self.should_exit = True
        self._loop.call_soon_threadsafe(self._on_signal.set)


class _Server:
    def __init__(self, serving: Serving, listener: socket.socket) -> None:
        self._serving = serving
        self._listener = listener
        self._cancelled = threading.Event()
        self._conversion = Background("conversion")
        self._began = time.monotonic()

    async def run(self) -> None:
        serving = self._serving
        run_dir = RunDir()
        keeper = Keeper(
            run_dir,
            {
                **serving.environ,
                wire.FOLLOW_ENV: str(int(serving.follow_references)),
                wire.ENGINES_ENV: str(serving.cache.absolute() / "engines"),
            },
            load_deadline=serving.startup_timeout,
            multi_model=serving.multi_model,
            port_range=serving.port_range,
            placing=serving.placing,
            triton=serving.triton,
        )
        invoker = Invoker(
            keeper,
            queue_size=serving.queue_size,
            timeout=serving.timeout,
            retry_scripts=serving.retry_scripts,
            default_accept=serving.default_accept,
            reading=serving.reading,
        )
        metrics = Metrics()
        metrics.in_flight.set_function(lambda: invoker.in_flight)
        metrics.restarts.set_function(lambda: keeper.restarts)
        metrics.retries.set_function(lambda: invoker.retries)
        metrics.in_triton.set_function(lambda: invoker.in_triton)
        adapter = Adapter(keeper, invoker, metrics, serving.max_body)
        multi_model = _multi_model(keeper, serving) if serving.multi_model else None
        stop = asyncio.Event()
        config = uvicorn.Config(
            adapter.app(
                () if multi_model is None else multi_model.routes(),
                local_endpoint=serving.local_endpoint,
                execution_parameters=serving.execution_parameters,
            ),
            loop="none",
            http=partial(Front, admits=adapter.admits, refused=metrics.refused),  # type: ignore[arg-type]
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=75,
        )
        http = _HTTP(config, stop)
        tasks = {
            "http": asyncio.create_task(http.serve(sockets=[self._listener])),
            "models": asyncio.create_task(self._load(keeper, adapter)),
            "stop": asyncio.create_task(stop.wait()),
        }
        try:
            await self._until_stopped(tasks, keeper)
        finally:
            invoker.draining = True
            if multi_model is not None:
                multi_model.close()
            self._cancelled.set()
            await _drained(invoker, http)
            http.should_exit = True
            for name in ("models", "stop"):
                tasks[name].cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)
            await keeper.stop()
            await self._conversion.leave(CLEAN_UP)
            run_dir.remove()
        logger.info("stopped")

    async def _until_stopped(self, tasks: Mapping[str, asyncio.Task[Any]], keeper: Keeper) -> None:
        """Returns on a signal; raises what ended the server otherwise."""
        waiting: set[asyncio.Future[Any]] = {*tasks.values(), keeper.failed}
        while not tasks["stop"].done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                future.result()
        logger.info("stopping: waiting for the requests in flight")

    async def _load(self, keeper: Keeper, adapter: Adapter) -> None:
        starting = asyncio.create_task(keeper.start())
        try:
            entries = await self._conversion.run(self._entries)
        except BaseException:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            raise
        await starting
        for name, path in entries:
            model = await keeper.load(name, path)
            manifest = model.manifest
            logger.info("model %s: %s, %s tier, %s", name, manifest.task, manifest.tier, manifest.gate.describe())
            if manifest.tier == "torch":
                logger.warning("model %s is not accelerated: %s", name, "; ".join(manifest.notes))
        # What was loaded stays; looking through it again and again for garbage took 7 % of this process's time.
        gc.collect()
        gc.freeze()
        adapter.ready = True
        logger.info(
            "ready on http://%s:%d after %.1f s",
            self._serving.host,
            self._listener.getsockname()[1],
            time.monotonic() - self._began,
        )

    def _entries(self) -> Sequence[tuple[str, Path]]:
        """Names and entries to serve, converted first where they have to be."""
        serving = self._serving
        if serving.source is None:
            if serving.repository is None and serving.multi_model:
                return []
            assert serving.repository is not None  # noqa: S101
            found = [(path.name, path) for path in sorted(serving.repository.glob("*")) if is_entry(path)]
            if not found:
                raise ServerError(f"{serving.repository} has no entry of triton-hf")
            return found
        artifact = Converter(serving.cache).convert(
            serving.source,
            serving.options,
            Lines(logger.info),
            fall_back=not serving.strict,
            revision=serving.revision,
            token=serving.token,
            cancelled=self._cancelled,
        )
        name = serving.name or artifact.name
        if artifact.cached:
            logger.info("%s is converted already", serving.source)
        if serving.repository is not None:
            return [(name, place(artifact.path, serving.repository, name))]
        return [(name, artifact.path)]


def _multi_model(keeper: Keeper, serving: Serving) -> MultiModel:
    from server.conversion import Conversion
    from server.library import Library
    from server.memory import Memory
    from server.multi_model import MultiModel

    conversion = Conversion(serving.cache, serving.options, strict=serving.strict)
    library = Library(keeper, conversion, Memory(serving.memory_limit), serving.base_dir)
    return MultiModel(library, keeper.spool)


async def _drained(invoker: Invoker, http: _HTTP) -> None:
    deadline = time.monotonic() + DRAIN
    while invoker.in_flight and time.monotonic() < deadline and not http.force_exit:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
