"""Processor time and memory of a tree of processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psutil

_KINDS = (("triton_python_backend_stub", "backend"), ("tritonserver", "triton"))


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


def listening(port: int) -> list[psutil.Process]:
    """The processes of whoever listens on a port of this machine; empty where that cannot be seen."""
    try:
        sockets = psutil.net_connections("tcp")
        owners = {each.pid for each in sockets if each.status == psutil.CONN_LISTEN and each.laddr[1:] == (port,)}
        found: dict[int, psutil.Process] = {}
        for pid in owners - {None}:
            own = psutil.Process(pid)
            found |= {each.pid: each for each in (own, *own.children(recursive=True))}
    except psutil.Error:
        return []
    return list(found.values())


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
