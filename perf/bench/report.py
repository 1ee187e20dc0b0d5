"""report.json: how it begins, and where its files go."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from server.bench import machine, measure, page, table

_VERSIONS = ("onnxruntime", "tokenizers", "transformers", "torch", "optimum-onnx", "uvicorn", "grpcio", "numpy")


def empty(*, quick: bool, rounds: int, seconds: float) -> dict[str, Any]:
    """A report without measurements."""
    begun = measure.report("triton-hf beside what the processor can do, and beside others", rounds, seconds)
    return {**begun, "quick": quick, "machine": machine.describe(_VERSIONS), "notes": [], "failures": []}


def write(report: Mapping[str, Any], folder: Path) -> None:
    """report.json, report.html and table.md in a folder. A figure that is no number becomes null."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = _plain(report)
    (folder / "report.json").write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n", "utf-8")
    page.write(plain, folder / "report.html")
    (folder / "table.md").write_text(table.tables(plain), "utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        # Six digits are more than any clock here is worth.
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
