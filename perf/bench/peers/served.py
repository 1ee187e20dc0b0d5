"""What the peers that answer over HTTP have in common."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from perf.bench.peers.child import Child
from perf.bench.peers.environment import ensure
from perf.bench.peers.peer import Peer
from perf.bench.system import Unavailable
from tests.serving import free_port

if TYPE_CHECKING:
    from perf.bench.workloads import Workload


class Served(Peer):
    """A peer whose command serves one model on a port, and says on `health` when it is ready."""

    name: str
    version: str
    path: str
    health = "/health"
    tasks: tuple[str, ...]
    patience = 300.0
    """Seconds that a start may take."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0

    def command(self, python: Path, workload: Workload) -> list[str | Path]:
        """What serves a workload's model on `self.port`."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Variables that the command needs."""
        return {}

    def takes(self, workload: Workload) -> bool:
        return workload.task in self.tasks

    def start(self, workload: Workload, folder: Path) -> None:
        """Unavailable where its environment cannot be made, or for a task that it does not do."""
        if not self.takes(workload):
            raise Unavailable(f"{self.name} does not do {workload.task}")
        python = ensure(self.name)
        self.stop()
        self.port, self.task = free_port(), workload.task
        command = self.command(python, workload)
        self._child = Child(command, folder / f"{self.name}.log", self.environment())
        try:
            self._wait(self._child, *self.body(workload.items[0]))
        except BaseException:
            self.stop()
            raise

    def _wait(self, child: Child, body: bytes, headers: dict[str, str]) -> None:
        """Until it says that it is ready, and has given a first answer."""
        deadline = time.monotonic() + self.patience
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60) as client:
            while time.monotonic() < deadline:
                if child.process.poll() is not None:
                    raise RuntimeError(f"{self.name} ended with {child.process.returncode}:\n{child.last_lines()}")
                if self._ready(client):
                    first = client.post(self.path, content=body, headers=headers)
                    if first.status_code != 200:
                        raise RuntimeError(f"{self.name} answers {first.status_code}: {first.text[:300]}")
                    return
                time.sleep(0.1)
        raise RuntimeError(f"{self.name} is not ready after {self.patience:g} s:\n{child.last_lines()}")

    def _ready(self, client: httpx.Client) -> bool:
        try:
            return client.get(self.health).status_code == 200
        except httpx.TransportError:
            return False
