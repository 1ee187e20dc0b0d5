"""What ONNX Runtime's TensorRT provider is told: the shapes an engine is built for, and where engines are kept.

An input outside those shapes would have TensorRT build the engine anew, for minutes, while a request waits. So the
shapes stand in the manifest, and the engine's batches are clamped to them.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from huggingface_backend.batches import PIXELS
from huggingface_backend.cards import Card
from huggingface_backend.manifest import Manifest

logger = logging.getLogger(__name__)

INSTALL = "pip install 'tensorrt-cu12>=10,<11'"
LIBRARIES = ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10")
"""Those of TensorRT 10, which ONNX Runtime's provider is linked to; in the order in which they need each other."""

ENGINES = "engines"
"""A folder beside the graph, for engines that were built at conversion."""

Shape = tuple[int, ...]


class NoTensorRTError(Exception):
    """TensorRT cannot be loaded; one line why, and what to install."""


@dataclass(frozen=True)
class Engine:
    """What an engine is built for, as it stands in the manifest."""

    shapes: dict[str, tuple[Shape, Shape, Shape]]
    """The smallest, the usual and the largest shape of each input of the graph."""
    graph: str
    """SHA-256 of the graph and its external data."""
    half: bool
    """Whether the graph computes in fp16."""

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Engine | None:
        """From the manifest; None where it has no engine."""
        if not fields:
            return None
        shapes = {
            name: (tuple(least), tuple(usual), tuple(most)) for name, (least, usual, most) in fields["shapes"].items()
        }
        return cls(shapes, fields["graph"], fields["half"])

    def fields(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)

    @property
    def rows(self) -> int:
        """Rows of a batch at most."""
        return min(most[0] for _least, _usual, most in self.shapes.values())

    @property
    def tokens(self) -> int | None:
        """Tokens of a row at most; None where rows are images."""
        sides = [most[1] for name, (_least, _usual, most) in self.shapes.items() if name != PIXELS]
        return min(sides) if sides else None

    def clamp(self, manifest: Manifest, rows_per_run: int) -> tuple[Manifest, int]:
        """A manifest and the rows of a run, 0 for no bound, such that no batch leaves the shapes."""
        if self.tokens is not None:
            manifest = manifest.limited(self.tokens)
        return manifest, min(rows_per_run or self.rows, self.rows)

    def fits(self, feed: Mapping[str, Any]) -> bool:
        """Whether these arrays are within the shapes."""
        return all(
            all(low <= side <= high for low, side, high in zip(least, feed[name].shape, most, strict=True))
            for name, (least, _usual, most) in self.shapes.items()
        )

    def key(self, card: Card, runtime: str, tensorrt: str) -> str:
        """What an engine is only good for: this graph, these shapes, these versions, this kind of card."""
        facts = [self.fields(), runtime, tensorrt, card.name, card.capability]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def options(self, device: int, folder: Path | None) -> dict[str, str]:
        """The provider's options; `folder` keeps engines and kernel timings, None keeps neither."""
        options = {
            "device_id": str(device),
            # ONNX Runtime's Python side takes these two words and no 0 or 1.
            "trt_fp16_enable": str(self.half),
            "trt_layer_norm_fp32_fallback": str(self.half),
            "trt_engine_cache_enable": str(folder is not None),
            "trt_timing_cache_enable": str(folder is not None),
        }
        if folder is not None:
            options |= {"trt_engine_cache_path": str(folder), "trt_timing_cache_path": str(folder)}
        for index, bound in enumerate(("min", "opt", "max")):
            options[f"trt_profile_{bound}_shapes"] = ",".join(
                f"{name}:{'x'.join(map(str, shapes[index]))}" for name, shapes in self.shapes.items()
            )
        return options


def engine_folder(graph: Path, key: str, root: Path | None) -> Path | None:
    """Where this engine is or will be: beside its graph if it was built at conversion, else below `root`.

    None where there is no such folder, or none that can be written.
    """
    shipped = graph.parent / ENGINES / key
    if shipped.is_dir():
        return shipped
    if root is not None:
        folder = root / key
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                if not any(folder.iterdir()):
                    logger.info("TensorRT builds an engine for this card, for minutes; it is kept in %s", folder)
                return folder
        except OSError:
            pass
    logger.warning("TensorRT's engine cannot be kept in %s: every start builds one, for minutes", root or "any folder")
    return None


@cache
def version() -> str:
    """Load TensorRT and tell its version; NoTensorRTError where it is not there or not version 10."""
    libraries = [_load(name) for name in LIBRARIES]
    number = int(libraries[0].getInferLibVersion())
    major, minor, patch = number // 10000, number // 100 % 100, number % 100
    if major != 10:
        raise NoTensorRTError(f"TensorRT is {major}.{minor}, and 10 is needed: {INSTALL}")
    return f"{major}.{minor}.{patch}"


def _load(name: str) -> Any:
    """From the package that pip installs, whose Python side loads the same, else from the system."""
    spec = find_spec("tensorrt_libs")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    reason = ""
    for path in (*(str(Path(folder) / name) for folder in folders), name):
        try:
            return ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
        except OSError as error:
            reason = str(error)
    raise NoTensorRTError(f"TensorRT is not installed ({reason}): {INSTALL}")
