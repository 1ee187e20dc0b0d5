"""Processor time and memory of a tree of processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

_KINDS = (("triton_python_backend_stub", "backend"), ("tritonserver", "triton"))
Processes = Callable[[], Sequence[psutil.Process]]


@dataclass(frozen=True)
class Cpu:
    """Seconds of processor time since each process began, by process."""

    seconds: dict[int, float]
    kinds: dict[int, str]

    def since(self, earlier: Cpu) -> float:
        """Seconds between two looks; what began in between counts whole, what ended in between does not."""
        return sum(self.by_kind(earlier).values())

    def by_kind(self, earlier: Cpu) -> dict[str, float]:
        """The same for "adapter" (whatever is neither of the others), "triton" and "backend"."""
        found: dict[str, float] = {}
        for pid, seconds in self.seconds.items():
            kind = self.kinds[pid]
            found[kind] = found.get(kind, 0.0) + seconds - earlier.seconds.get(pid, 0.0)
        return found


def cpu(processes: Sequence[psutil.Process]) -> Cpu:
    """A look at the processor time of living processes."""
    seconds: dict[int, float] = {}
    kinds: dict[int, str] = {}
    for process in processes:
        try:
            times, name = process.cpu_times(), " ".join(process.cmdline()[:1])
        except psutil.Error:
            continue
        seconds[process.pid] = times.user + times.system
        kinds[process.pid] = next((kind for part, kind in _KINDS if part in name), "adapter")
    return Cpu(seconds, kinds)


def memory_mb(processes: Sequence[psutil.Process]) -> tuple[float, float]:
    """(proportional set size, resident set size) in MB, summed. The first counts shared pages once."""
    proportional = resident = 0
    for process in processes:
        try:
            info = process.memory_full_info()
        except psutil.Error:
            continue
        proportional, resident = proportional + info.pss, resident + info.rss
    return proportional / 1e6, resident / 1e6


def freeze(processes: Sequence[psutil.Process]) -> None:
    """Keep processes from running until `thaw`."""
    _signal(processes, signal.SIGSTOP)


def thaw(processes: Sequence[psutil.Process]) -> None:
    """Let frozen processes run again."""
    _signal(processes, signal.SIGCONT)


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            continue
