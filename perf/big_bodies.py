"""Bodies of 100 MB and 1 GB there and back, under a /dev/shm of 64 MB: seconds, and what each process takes meanwhile.

    python -m perf.big_bodies [MEGABYTES…]

The model is a script that returns the bytes it is given. The client sends and reads in pieces, and compares digests.
"""

from __future__ import annotations

import hashlib
import http.client
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import psutil

from tests.integration.test_bodies import SMALL_SHM
from tests.serving import BACKEND, TRITON, Server

ECHO = """
def model_fn(model_dir): return None
def transform_fn(model, body, content_type, accept): return body
"""
PIECE = 2**20


class Peaks:
    """The most memory each process of a server had for itself alone (unique set size), looked at 20 times a second."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.peaks: dict[str, int] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Peaks:
        self._look()
        self.before, self.peaks = dict(self.peaks), {}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            self._look()

    def _look(self) -> None:
        for process in self._server.tree():
            try:
                command, size = " ".join(process.cmdline()[:1]), process.memory_full_info().uss
            except psutil.Error:
                continue
            name = "backend" if BACKEND in command else "tritonserver" if TRITON in command else "adapter"
            self.peaks[name] = max(self.peaks.get(name, 0), size)


def pieces(megabytes: int, digest: Any) -> Iterator[bytes]:
    for index in range(megabytes):
        piece = hashlib.sha256(index.to_bytes(4, "big")).digest() * (PIECE // 32)
        digest.update(piece)
        yield piece


def there_and_back(server: Server, megabytes: int) -> float:
    """Seconds; an exception where what comes back differs."""
    sent, received = hashlib.sha256(), hashlib.sha256()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=600)
    began = time.perf_counter()
    connection.request(
        "POST",
        "/invocations",
        body=pieces(megabytes, sent),
        headers={"Content-Type": "application/octet-stream", "Content-Length": str(megabytes * PIECE)},
    )
    answer = connection.getresponse()
    while piece := answer.read(PIECE):
        received.update(piece)
    seconds = time.perf_counter() - began
    if answer.status != 200 or received.digest() != sent.digest():
        raise SystemExit(f"{megabytes} MB: status {answer.status}, or another body came back")
    return seconds


def main() -> None:
    sizes = [int(argument) for argument in sys.argv[1:]] or [100, 1024]
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        (folder / "model" / "code").mkdir(parents=True)
        (folder / "model" / "code" / "inference.py").write_text(ECHO)
        server = Server(
            str(folder / "model"),
            *("--task", "feature-extraction", "--max-payload-in-mb", "0", "--timeout", "600", "--instances", "1"),
            *("--cache", str(folder / "cache")),
            log=folder / "serve.log",
            under=SMALL_SHM,
            log_level="info",
        ).wait()
        click.echo("| body | seconds | adapter, MB more at most | tritonserver | backend |\n|--:|--:|--:|--:|--:|")
        try:
            for size in sizes:
                with Peaks(server) as watched:
                    seconds = there_and_back(server, size)
                grown = {name: (watched.peaks.get(name, 0) - now) / 1e6 for name, now in watched.before.items()}
                row = " | ".join(f"{grown[name]:.0f}" for name in ("adapter", "tritonserver", "backend"))
                click.echo(f"| {size} MB | {seconds:.1f} | {row} |")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
