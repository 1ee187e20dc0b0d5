"""/metrics: the adapter's own, then Triton's."""

from __future__ import annotations

import asyncio
import logging
import urllib.request

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

logger = logging.getLogger(__name__)


class Metrics:
    """Requests by status, their seconds, those in flight, and restarts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "triton_hf_requests", "Invocations answered, by HTTP status", ["status"], registry=self._registry
        )
        self._by_status: dict[int, Counter] = {}
        self._refused = self._requests.labels("503")
        self._seconds = Histogram(
            "triton_hf_request_seconds",
            "Seconds from an invocation's headers to its answer",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
            registry=self._registry,
        )
        self.in_flight = Gauge("triton_hf_in_flight", "Invocations being answered", registry=self._registry)
        self.restarts = Gauge(
            "triton_hf_restarts",
            "Times a dead backend or tritonserver was brought back",
            registry=self._registry,
        )
        self.retries = Gauge(
            "triton_hf_retries", "Invocations tried again after their backend died", registry=self._registry
        )
        self.in_triton = Gauge(
            "triton_hf_in_triton_seconds",
            "Seconds that invocations spent in requests to Triton, summed since the start",
            registry=self._registry,
        )

    def refused(self) -> None:
        """Count an invocation that was refused before it was one: it is in no latency."""
        self._refused.inc()

    def request(self, status: int, seconds: float) -> None:
        """Count one invocation that was answered."""
        self._seconds.observe(seconds)
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(str(status))
        counter.inc()

    async def render(self, triton_port: int | None) -> bytes:
        """Prometheus text; without Triton's part where Triton is down."""
        own = generate_latest(self._registry)
        if triton_port is None:
            return own
        try:
            return own + await asyncio.to_thread(_fetch, triton_port)
        except OSError as error:
            logger.warning("Triton's metrics cannot be read: %s", error)
            return own


def _fetch(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as response:
        body: bytes = response.read()
        return body
