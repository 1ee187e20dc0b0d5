"""Ours: a real `triton-hf serve` of an entry that was converted before, in fp32 or int8."""

from __future__ import annotations

import hashlib
import re
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf.bench import requests
from perf.bench.system import Unavailable
from tests.serving import TRITON, TRITON_HF, Server

if TYPE_CHECKING:
    import psutil

    from perf.bench.workloads import Workload

_SOURCES = ("converters", "huggingface_backend")
_REPOSITORY = Path(__file__).parents[2]
_LONG_ENOUGH = 1800
"""Seconds for a conversion."""


def convert(workload: Workload, precision: str, root: Path) -> Path:
    """The entry for a workload's model, converted once for each state of the converters.

    Unavailable where the precision cannot be had; its line is that of `triton-hf convert`.
    """
    repository = root / "entries" / _state() / f"{workload.model}-{precision}"
    entry = repository / workload.model
    if entry.is_dir():
        return entry
    command = [TRITON_HF, "convert", str(workload.folder), "--task", workload.task, "--name", workload.model]
    command += ["--cache", str(root / "conversions" / _state()), "--repository", str(repository)]
    if precision != "fp32":
        command += ["--precision", precision]
    done = subprocess.run(command, cwd=_REPOSITORY, capture_output=True, text=True, timeout=_LONG_ENOUGH, check=False)
    if done.returncode:
        lines = [line for line in (done.stderr or done.stdout).strip().splitlines() if line.strip()]
        raise Unavailable(f"{workload.model} in {precision}: {lines[-1] if lines else 'convert failed'}")
    return entry


@cache
def _state() -> str:
    """A digest of the code that decides what an entry is."""
    digest = hashlib.sha256(version("onnxruntime").encode())
    for package in _SOURCES:
        for path in sorted((_REPOSITORY / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


class Ours:
    """triton-hf, as a user runs it. `precision` is the entry's."""

    path = "/invocations"

    def __init__(self, root: Path, precision: str = "fp32", arguments: tuple[str, ...] = ()) -> None:
        """Entries lie below `root`. `arguments` go to `serve`."""
        self.name, self.precision = "ours", precision
        self.version = f"triton-hf {version('triton-hf')}, ONNX Runtime {version('onnxruntime')}"
        self.port = 0
        self.entry: Path | None = None
        """What it serves."""
        self._root, self._arguments = root, arguments
        self._server: Server | None = None
        self._task = ""

    def takes(self, workload: Workload) -> bool:
        # int8 is for graphs that the fast tier runs.
        return self.precision == "fp32" or workload.task in ("text-classification", "sentence-embedding")

    def start(self, workload: Workload, folder: Path) -> None:
        entry = self.entry = convert(workload, self.precision, self._root)
        self._task = workload.task
        # As a user gets it; but 128 clients wait for seconds where an answer takes one.
        arguments = ("--timeout", "600", *self._arguments)
        server = Server(str(entry), *arguments, log=folder / "serve.log", log_level="warning")
        self._server, self.port = server, server.port
        try:
            server.wait(300)
        except AssertionError as error:
            self.stop()
            raise RuntimeError(str(error)) from None

    @property
    def grpc_port(self) -> int:
        """Where its tritonserver takes gRPC."""
        assert self._server is not None
        command = " ".join(self._server.child(TRITON).cmdline())
        found = re.search(r"--grpc-port[= ](\d+)", command)
        assert found is not None, command
        return int(found[1])

    def body(self, item: Any) -> tuple[bytes, dict[str, str]]:
        return requests.body(item)

    def answer(self, response: bytes) -> Any:
        return requests.answer(self._task, response)

    def processes(self) -> list[psutil.Process]:
        return [] if self._server is None else self._server.tree()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
