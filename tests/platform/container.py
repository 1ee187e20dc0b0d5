"""A container as SageMaker runs it: the real server behind its own mounts, probed and stopped by a clock."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import psutil

from tests.serving import TRITON_HF, free_port

SERVE = (TRITON_HF, "serve")
CONNECT_SECONDS = 0.25
PING_SECONDS = 2.0
KILL_SECONDS = 30.0
SHM_MB = 64
PORTS = 100
"""Size of SAGEMAKER_SAFE_PORT_RANGE."""
KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
"""Of this machine's environment; the rest is no business of a container."""

# /opt/ml need not exist on this machine. Its mount point then lies on a tmpfs beside the rest of /opt.
MOUNTS = """\
set -eu
ml=$1 aside=$2 shm=$3
shift 3
if [ ! -d /opt/ml ]; then
    mkdir -p /opt
    mount --rbind /opt "$aside"
    mount -t tmpfs tmpfs /opt
    for folder in "$aside"/*/; do
        [ -d "$folder" ] || continue
        mkdir "/opt/$(basename "$folder")"
        mount --rbind "$folder" "/opt/$(basename "$folder")"
    done
    mkdir /opt/ml
fi
mount --bind "$ml" /opt/ml
mount -o remount,bind,ro /opt/ml
mount -t tmpfs -o "size=${shm}m" tmpfs /dev/shm
exec "$@"
"""


@dataclass
class Probes:
    """What the platform saw until the container was ready. Times in seconds."""

    first_connection: float = 0.0
    """From the start."""
    connections: list[float] = field(default_factory=list)
    """Every one from the first on."""
    pings: list[int] = field(default_factory=list)
    """Statuses; 0 for a health check that took too long, which fails no container before its first success."""
    slowest_ping: float = 0.0
    ready: float = 0.0
    """From the start."""


@dataclass(frozen=True)
class End:
    """How a container ended."""

    code: int
    seconds: float
    """From SIGTERM."""
    killed: bool
    """Whether SIGTERM was not enough."""


class Container:
    """The server, started with `serve` and the environment alone.

    `/opt/ml` is `ml`, read-only for the container and not for the platform, which puts models there. `/dev/shm` has 64
    MB. Home and temporary files lie in a folder of the container's own.
    """

    def __init__(
        self,
        ml: Path,
        root: Path,
        env: Mapping[str, str] | None = None,
        *,
        command: Sequence[str] = SERVE,
        shm_mb: int = SHM_MB,
    ) -> None:
        """`root` is an empty folder; a value of "" in `env` leaves one of the platform's variables out."""
        self.ml, self.root = ml, root
        self.port = free_port()
        first = random.randrange(15_000, 32_000 - PORTS)
        self.safe_ports = range(first, first + PORTS)
        for name in ("home", "tmp", "aside"):
            (root / name).mkdir(parents=True)
        self.log = root / "log"
        self.probes = Probes()
        given = {
            **{name: os.environ[name] for name in KEPT if name in os.environ},
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "tmp"),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "SAGEMAKER_SAFE_PORT_RANGE": f"{first}-{first + PORTS - 1}",
            **(env or {}),
        }
        mounted = ["unshare", "--mount", "sh", "-c", MOUNTS, "sh", str(ml), str(root / "aside"), str(shm_mb), *command]
        self._terminated = self._ended = 0.0
        self._watch = threading.Thread(target=self._wait_for_end, daemon=True)
        self._began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                mounted,
                env={name: value for name, value in given.items() if value},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        # Connections are the platform's own; none is kept that the container might have closed.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, limits=limits)

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(grace=5 if kind else KILL_SECONDS)

    @property
    def text(self) -> str:
        """Its log."""
        return self.log.read_text("utf-8", "replace")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def connect(self) -> bool:
        """One TCP connection, timed; False before the port is bound. AssertionError where it takes too long."""
        began = time.monotonic()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=PING_SECONDS).close()
        except ConnectionRefusedError:
            assert not self.probes.connections, "the port was bound and is no more"
            return False
        if not self.probes.connections:
            self.probes.first_connection = began - self._began
        self.probes.connections.append(time.monotonic() - began)
        return True

    def ping(self) -> int:
        """A health check's status. AssertionError where it takes over two seconds, or has a body."""
        began = time.monotonic()
        try:
            answer = self.client.get("/ping", timeout=PING_SECONDS)
        except httpx.TimeoutException:
            raise AssertionError(f"/ping did not answer within {PING_SECONDS} s") from None
        self.probes.slowest_ping = max(self.probes.slowest_ping, time.monotonic() - began)
        return answer.status_code

    def probe(self) -> bool:
        """A connection and a health check; False before the port is bound."""
        if not self.running:
            raise AssertionError(f"serve ended with {self.process.returncode}:\n{self.text[-3000:]}")
        if not self.connect():
            return False
        try:
            self.probes.pings.append(self.ping())
        except AssertionError:
            self.probes.pings.append(0)
        return True

    def wait(self, seconds: float = 90) -> Container:
        """Probe until /ping is 200."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.probe() and self.probes.pings[-1] == 200:
                self.probes.ready = time.monotonic() - self._began
                return self
            time.sleep(0.05)
        raise AssertionError(f"not ready within {seconds} s:\n{self.text[-3000:]}")

    def until_bound(self) -> Container:
        """Probe until the port is bound."""
        while not self.probe():
            time.sleep(0.01)
        return self

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A request; a body that is neither bytes nor an iterator of them is sent as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is None:
            return self.client.request(method, path, headers=sent)
        if not isinstance(body, dict | list | str | int | float):
            return self.client.request(method, path, content=body, headers=sent)
        return self.client.request(method, path, json=body, headers=sent)

    def terminate(self) -> None:
        """SIGTERM, once, and no waiting."""
        if self._terminated:
            return
        self._terminated = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self._watch.start()

    def _wait_for_end(self) -> None:
        self.process.wait()
        self._ended = time.monotonic()

    def stop(self, grace: float = KILL_SECONDS) -> End:
        """SIGTERM unless it was sent, then SIGKILL after the grace."""
        self.terminate()
        self._watch.join(max(0.0, self._terminated + grace - time.monotonic()))
        killed = self._watch.is_alive()
        if killed:
            self.process.kill()
            self._watch.join()
        self.client.close()
        return End(self.process.returncode, self._ended - self._terminated, killed)

    @property
    def shared_memory(self) -> Path:
        """Its /dev/shm, as it sees it."""
        return Path("/proc", str(self.process.pid), "root", "dev", "shm")

    def processes(self) -> list[psutil.Process]:
        """Its living processes, the server first."""
        try:
            own = psutil.Process(self.process.pid)
            found = [own, *own.children(recursive=True)]
            return [process for process in found if process.status() != psutil.STATUS_ZOMBIE]
        except psutil.NoSuchProcess:
            return []

    def listening(self) -> set[int]:
        """The TCP ports that any of its processes listens on."""
        return {
            connection.laddr.port
            for process in self.processes()
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }

    def environment(self, name: str) -> dict[str, str]:
        """The environment of its one process of a name."""
        return self.process_named(name).environ()

    def process_named(self, name: str) -> psutil.Process:
        [found] = [process for process in self.processes() if process.cmdline()[:1] and name in process.cmdline()[0]]
        return found


@cache
def forbidden() -> str:
    """Why no container can run here; nothing where one can."""
    script = 'mount --bind /tmp /tmp && mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    try:
        tried = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", "true"], capture_output=True, text=True, check=False
        )
    except OSError as error:
        return f"no mount namespaces here: {error.strerror}"
    lines = tried.stderr.strip().splitlines()
    return f"no mount namespaces here: {lines[-1] if lines else tried.returncode}" if tried.returncode else ""
