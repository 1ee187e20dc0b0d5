"""A real `triton-hf serve` in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

TRITON_HF = str(Path(sys.executable).with_name("triton-hf"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run_cli(
    *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """`triton-hf` with arguments, to its end."""
    return subprocess.run(
        [TRITON_HF, *arguments], env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=timeout
    )


class Server:
    """A server being started; `wait` for it to be ready, or just talk to it."""

    def __init__(
        self,
        *arguments: str,
        log: Path,
        env: Mapping[str, str] | None = None,
        under: Sequence[str] = (),
        log_level: str = "debug",
        port: int | None = None,
    ) -> None:
        """`under` is a command that runs the server. Any free port if none is given."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.started = time.monotonic()
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [
                    *under,
                    TRITON_HF,
                    "serve",
                    *arguments,
                    "--port",
                    str(self.port),
                    "--host",
                    "127.0.0.1",
                    "--log-level",
                    log_level,
                ],
                env={**os.environ, **(env or {})},
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def wait(self, timeout: float = 120) -> Server:
        """Until /ping answers 200."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"serve ended with {self.process.returncode}:\n{self.text[-3000:]}")
            try:
                if self.client.get("/ping").status_code == 200:
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready within {timeout} s:\n{self.text[-3000:]}")

    @property
    def text(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def post(self, body: Any, path: str = "/invocations", **headers: str) -> httpx.Response:
        """A JSON request; bytes are sent as they are."""
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        wanted = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self.client.post(path, headers=wanted, **content)  # type: ignore[arg-type]

    def tree(self) -> list[psutil.Process]:
        """Its living processes, itself first."""
        try:
            own = psutil.Process(self.process.pid)
            return [p for p in (own, *own.children(recursive=True)) if p.status() != psutil.STATUS_ZOMBIE]
        except psutil.NoSuchProcess:
            return []

    def child(self, name: str) -> psutil.Process:
        """The one process below it whose command has a name in it."""
        [found] = [child for child in self.tree()[1:] if re.search(name, " ".join(child.cmdline()[:1]))]
        return found

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if re.match(rf"{name}(\{{|\s)", line))

    def stop(self, sig: int = signal.SIGTERM, timeout: float = 30) -> int:
        """Signal it, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(timeout)
        self.client.close()
        return code


BACKEND = "triton_python_backend_stub"
TRITON = "tritonserver"
