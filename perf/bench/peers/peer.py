"""What the peers with one process and its tree have in common."""

from __future__ import annotations

from typing import Any

import psutil

from perf.bench import requests
from perf.bench.peers.child import Child


class Peer:
    """A peer that is, once it is started, a child."""

    def __init__(self) -> None:
        self.task = ""
        self._child: Child | None = None

    def body(self, item: Any) -> tuple[bytes, dict[str, str]]:
        return requests.body(item)

    def answer(self, response: bytes) -> Any:
        return requests.answer(self.task, response)

    def processes(self) -> list[psutil.Process]:
        return [] if self._child is None else self._child.processes()

    def stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.stop()
