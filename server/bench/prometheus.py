"""Counters of /metrics, and what became of them between two looks."""

from __future__ import annotations

from collections.abc import Mapping

import urllib3
from prometheus_client.parser import text_string_to_metric_families

Counters = dict[tuple[str, str], float]
"""Sums by metric name and `stage` label ("" where it has none), over all other labels."""
BACKEND_STAGES = ("queue", "tokenise", "infer", "encode")
_TRITON = ("queue", "compute_input", "compute_output")
"""What Triton itself does with a request. "compute_infer" ends when the backend has taken it, not when it answers."""


def read(base: str) -> Counters | None:
    """The counters of a server at an address; None where it has none."""
    pool = urllib3.PoolManager(retries=False, timeout=10.0)
    try:
        response = pool.request("GET", f"{base}/metrics")
        return parse(response.data.decode("utf-8")) if response.status == 200 else None
    except (urllib3.exceptions.HTTPError, ValueError):
        return None


def parse(text: str) -> Counters:
    """From Prometheus' text; histograms keep their sum and count only."""
    found: Counters = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                key = (sample.name, sample.labels.get("stage", ""))
                found[key] = found.get(key, 0.0) + sample.value
    return found


def difference(before: Mapping[tuple[str, str], float], after: Mapping[tuple[str, str], float]) -> Counters:
    """What was added between two looks."""
    return {key: value - before.get(key, 0.0) for key, value in after.items()}


def mean_batch(added: Mapping[tuple[str, str], float]) -> float | None:
    """Rows a run of the graph; None where none ran."""
    runs = added.get(("triton_hf_runs_total", ""), 0.0)
    return added.get(("triton_hf_rows_total", ""), 0.0) / runs if runs else None


def stages_ms(added: Mapping[tuple[str, str], float]) -> dict[str, float] | None:
    """Where a request's milliseconds go, on average, from the clocks of the adapter, of Triton and of the backend.

    None where the server does not tell its stages, or nothing was answered.
    """
    backend, triton = backend_ms(added), triton_ms(added)
    requests = added.get(("triton_hf_request_seconds_count", ""), 0.0)
    if backend is None or triton is None or not requests:
        return None
    whole = 1e3 * added[("triton_hf_request_seconds_sum", "")] / requests
    inside = sum(backend.values()) + triton
    # Between the two clocks: the way to Triton, and from Triton to the backend.
    sent = 1e3 * added.get(("triton_hf_in_triton_seconds", ""), 0.0) / requests
    wire = min(max(sent - inside, 0.0), max(whole - inside, 0.0))
    return {"adapter": max(whole - inside - wire, 0.0), "wire": wire, "triton": triton, **backend}


def backend_ms(added: Mapping[tuple[str, str], float]) -> dict[str, float] | None:
    """A request's milliseconds in each of BACKEND_STAGES; None where the server does not tell."""
    answered = added.get(("triton_hf_answered_total", ""), 0.0)
    if not answered:
        return None
    return {
        stage: 1e3 * added.get(("triton_hf_stage_seconds_total", stage), 0.0) / answered for stage in BACKEND_STAGES
    }


def triton_ms(added: Mapping[tuple[str, str], float]) -> float | None:
    """A request's milliseconds in Triton before the backend has it and after it has answered."""
    taken = added.get(("nv_inference_request_success_total", ""), 0.0)
    if not taken:
        return None
    return sum(1e-3 * added.get((f"nv_inference_{part}_duration_us_total", ""), 0.0) for part in _TRITON) / taken


def stages_cpu_us(added: Mapping[tuple[str, str], float]) -> dict[str, float]:
    """The backend's processor time a request by stage, in microseconds."""
    answered = added.get(("triton_hf_answered_total", ""), 0.0)
    return {
        stage: 1e6 * value / answered
        for (name, stage), value in added.items()
        if name == "triton_hf_stage_cpu_seconds_total" and answered
    }
