"""Where a request's time and processor time go, from what was counted while it was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from perf.bench.measure import Running, Seen
from server.bench import prometheus


def stages(running: Running, clients: Sequence[int]) -> Iterable[dict[str, Any]]:
    """The report's `stages` of a server of ours, for each of these numbers of clients; nothing of others."""
    for count in clients:
        seen = running.seen.get(("closed", count))
        if seen is None or not seen.requests:
            continue
        wall = prometheus.stages_ms(seen.counters)
        if wall is not None:
            known = {"workload": running.workload.name, "system": running.system.name, "precision": running.precision}
            yield {**known, "clients": count, "wall_ms": wall, "cpu_us": _cpu_us(seen)}


def _cpu_us(seen: Seen) -> dict[str, float]:
    """By process, what the backend's stages take taken out of the backend's."""
    inside = prometheus.stages_cpu_us(seen.counters)
    found = {kind: 1e6 * seconds / seen.requests for kind, seconds in seen.cpu.items()}
    found["backend"] = max(found.get("backend", 0.0) - sum(inside.values()), 0.0)
    if seen.client_cpu:
        found["client"] = 1e6 * seen.client_cpu / seen.requests
    return {**found, **inside}
