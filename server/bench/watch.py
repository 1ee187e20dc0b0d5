"""What a load cost the server: its own counters, and its processes where they are on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from server.bench import prometheus, usage
from server.bench.endpoint import Endpoint
from server.bench.outcome import Load

SETTLED = 0.3
"""Seconds after a load until the backend has told what it did."""


@dataclass(frozen=True)
class Cost:
    """A load with what it took: a round of a report, and a request's stages where the server tells them."""

    load: Load
    round: dict[str, Any]
    wall_ms: dict[str, float] | None
    cpu_us: dict[str, float] | None


class Watch:
    """Looks at a server before and after each load."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def over(self, run: Callable[[], Load]) -> Cost:
        """Run a load, and tell what it cost. The warm-up's share is in the counters, as they cannot tell it apart."""
        counters, spent, began = prometheus.read(self._endpoint.base), self._cpu(), time.thread_time()
        load = run()
        client = time.thread_time() - began
        now = self._cpu()
        time.sleep(SETTLED if counters is not None else 0.0)
        later = prometheus.read(self._endpoint.base) if counters is not None else None
        added = prometheus.difference(counters, later) if counters is not None and later is not None else {}
        seen = added.get(("triton_hf_request_seconds_count", ""), 0.0) or float(load.responses)
        cost = None if not (now.seconds and seen) else 1e3 * now.since(spent) / seen
        figures = load.figures() | {
            "cpu_ms_per_request": None if cost is None else round(cost, 4),
            "rss_mb": self._memory(),
            "mean_batch": prometheus.mean_batch(added),
        }
        return Cost(load, figures, prometheus.stages_ms(added), self._stages(added, now.by_kind(spent), client, seen))

    def _stages(
        self, added: prometheus.Counters, spent: dict[str, float], client: float, requests: float
    ) -> dict[str, float] | None:
        """Microseconds of processor time a request; None where not all of it is known."""
        engine = prometheus.stages_cpu_us(added)
        if "backend" not in spent or not engine or not requests:
            return None
        each = {kind: 1e6 * seconds / requests for kind, seconds in spent.items()}
        rest = max(each.pop("backend") - sum(engine.values()), 0.0)
        return {"client": 1e6 * client / requests, **each, "backend": rest, **engine}

    def _cpu(self) -> usage.Cpu:
        return usage.cpu(usage.listening(self._endpoint.target.port) if self._endpoint.local else [])

    def _memory(self) -> float | None:
        processes = usage.listening(self._endpoint.target.port) if self._endpoint.local else []
        return round(usage.memory_mb(processes)[1], 1) if processes else None
