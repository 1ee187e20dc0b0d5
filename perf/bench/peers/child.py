"""A peer's process with all that it starts, in a session and with a temporary folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

_INHERITED_NOT = ("PYTHON", "OMP_", "MKL_", "VIRTUAL_ENV", "HF_", "TORCH")
"""Beginnings of variables that would change what is measured, or where packages are found."""
_PATIENCE = 10
"""Seconds between the request to end and the end."""


def tree(pid: int) -> list[psutil.Process]:
    """The living processes of a session that `pid` leads, and their children in others."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid == pid or _session(process.pid) == pid:
            found[process.pid] = process
            try:
                found |= {child.pid: child for child in process.children(recursive=True)}
            except psutil.NoSuchProcess:
                continue
    return [process for process in found.values() if _alive(process)]


def end(processes: Sequence[psutil.Process], patience: float = _PATIENCE) -> None:
    """Ask the first to end, which may end the others; kill what is left."""
    for number, process in enumerate(processes):
        try:
            if number == 0 and patience:
                process.terminate()
            # One that was stopped does not see the other signal.
            process.send_signal(signal.SIGCONT)
        except psutil.NoSuchProcess:
            continue
    _, left = psutil.wait_procs(processes, patience)
    for process in left:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(left, _PATIENCE)


class Child:
    """A started process. Its output goes to a log; with `piped`, its input and output are pipes of text."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None, *, piped: bool = False
    ) -> None:
        # Short, for there will be Unix sockets in it.
        self.base = Path(tempfile.mkdtemp(prefix="peer-")).resolve()
        self.log = log
        own = {
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "true",
            "CUDA_VISIBLE_DEVICES": "",
            "TMPDIR": str(self.base),
            "PATH": f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(_INHERITED_NOT)}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                cwd=self.base,
                env={**inherited, **own, **(env or {})},
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else output,
                stderr=output,
                text=True,
                start_new_session=True,
            )

    def processes(self) -> list[psutil.Process]:
        """The whole tree, itself first."""
        return sorted(tree(self.process.pid), key=lambda process: process.pid != self.process.pid)

    def last_lines(self, count: int = 12) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-count:])

    def stop(self) -> None:
        """End it with its tree, and delete its temporary folder."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass
        end(self.processes())
        self.process.wait(_PATIENCE)
        # A parent that died first leaves children in the session that were not there before.
        end(tree(self.process.pid), patience=0)
        shutil.rmtree(self.base, ignore_errors=True)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
