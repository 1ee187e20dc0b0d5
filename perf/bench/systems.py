"""Every system there is, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from perf.bench.ours import Ours
from perf.bench.peers import PEERS
from perf.bench.system import System

OURS, CEILING = "ours", "ceiling"
WHAT = {
    "ours": "triton-hf through POST /invocations",
    "ours-grpc": "triton-hf's Triton, asked by perf_analyzer over gRPC, without the adapter",
    "ceiling": "bare ONNX Runtime, the best graph, batch and use of the cores, tokenised input ready",
    "naive padding": "bare ONNX Runtime, batches in order of arrival padded to their longest text",
}
NAMES = (OURS, CEILING, *PEERS)


def make(names: Sequence[str], root: Path) -> list[tuple[System, str]]:
    """Those of these names that are started, each with its precision; ours in both."""
    found: list[tuple[System, str]] = []
    if OURS in names:
        found += [(Ours(root, precision), precision) for precision in ("fp32", "int8")]
    found += [(peer(), "fp32") for name, peer in PEERS.items() if name in names]
    return found


def described(versions: Mapping[str, str], measurements: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The report's `systems`: those that were measured, ours first."""
    order = [OURS, "ours-grpc", CEILING, "naive padding", *PEERS]
    measured = {str(each["system"]) for each in measurements}
    return [
        {"name": name, "version": versions.get(name, ""), "what": WHAT.get(name, "")}
        for name in order
        if name in measured
    ]
