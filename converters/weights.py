"""Weights looked at without loading them: which format they are of, and whether they are whole."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import IO

from converters.sources import READY_GRAPHS

SUFFIXES = (
    (".safetensors", "safetensors"),
    (".bin", "PyTorch"),
    (".pt", "PyTorch"),
    (".pth", "PyTorch"),
    (".ckpt", "PyTorch"),
    (".onnx", "ONNX"),
    (".onnx_data", "ONNX"),
    (".h5", "TensorFlow"),
    (".msgpack", "Flax"),
    (".gguf", "GGUF"),
    (".tflite", "TensorFlow Lite"),
    (".ot", "Rust"),
    (".mlmodel", "Core ML"),
)
POINTER = b"version https://git-lfs"
_MAX_HEADER = 100 * 2**20
"""Bytes; safetensors itself reads no longer one."""


def weights_format(name: str) -> str | None:
    """The format of a file of weights, by its name; None for other files."""
    return next((kind for suffix, kind in SUFFIXES if name.endswith(suffix)), None)


def served(name: str, *, diffusers: bool = False) -> bool:
    """Whether a file is one that a conversion or the pipeline loads; diffusers keeps every part in a folder."""
    path = PurePosixPath(name)
    if name in READY_GRAPHS:
        return True
    if diffusers:
        return len(path.parts) == 2 and path.suffix in (".safetensors", ".bin")
    return path.parent == PurePosixPath() and (
        path.suffix == ".safetensors" or (path.suffix == ".bin" and path.name.startswith("pytorch_model"))
    )


def flaw(name: str, size: int, file: IO[bytes]) -> str | None:
    """What is wrong with a file of weights, read from its beginning; None where nothing shows."""
    head = file.read(8)
    if not head:
        return f"{name} is empty"
    if POINTER.startswith(head):
        return pointer(name)
    if name.endswith(".safetensors"):
        return _safetensors_flaw(name, size, head, file)
    if weights_format(name) == "PyTorch" and head[:2] != b"PK" and head[:1] != b"\x80":
        return f"{name} is no PyTorch file"
    return None


def pointer(name: str) -> str:
    return f"{name} is a git-lfs pointer, not the file itself: run git lfs pull before packing"


def missing_shards(name: str, index: object, files: Collection[str]) -> list[str]:
    """Files that an index of sharded weights names and that are not there."""
    shards = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(shards, dict):
        return []
    folder = PurePosixPath(name).parent
    return [shard for shard in sorted(set(map(str, shards.values()))) if str(folder / shard) not in files]


def _safetensors_flaw(name: str, size: int, head: bytes, file: IO[bytes]) -> str | None:
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > _MAX_HEADER:
        return f"{name} is corrupt: its header cannot be read"
    if 8 + length > size:
        return f"{name} is cut short: {size} bytes, of which its header alone would take {8 + length}"
    try:
        header = json.loads(file.read(length))
        tensors = [entry for key, entry in header.items() if key != "__metadata__"]
        end = max((int(tensor["data_offsets"][1]) for tensor in tensors), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError):
        return f"{name} is corrupt: its header cannot be read"
    if 8 + length + end != size:
        return (
            f"{name} is cut short: {size} bytes of {8 + length + end}"
            if size < 8 + length + end
            else (f"{name} is corrupt: {size} bytes, where its header speaks of {8 + length + end}")
        )
    return None
