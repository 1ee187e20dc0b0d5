"""report.json: the machine, and where the files of a report go."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from server.bench import page, table

FORMAT = 1
_VERSIONS = ("onnxruntime", "tokenizers", "transformers", "torch", "optimum-onnx", "uvicorn", "grpcio", "numpy")


def empty(*, quick: bool, rounds: int, seconds: float) -> dict[str, Any]:
    """A report without measurements."""
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "rounds": rounds,
        "seconds": seconds,
        "title": "triton-hf beside what the processor can do, and beside others",
        "machine": machine(),
        "workloads": [],
        "systems": [],
        "measurements": [],
        "stages": [],
        "targets": [],
        "checks": [],
        "notes": [],
        "failures": [],
    }


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": _gpu(),
        "python": platform.python_version(),
        "versions": {name: found for name in _VERSIONS if (found := _version(name))},
    }


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


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _gpu() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
