"""Tokenised input for bare ONNX Runtime, ready before anything is timed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
TEXT = ("input_ids", "attention_mask", "token_type_ids")


def rows(task: str, model: Path, items: Sequence[Any]) -> list[Arrays]:
    """What each item is to the graph, without a batch axis: token ids and their kin, or pixels."""
    if task == "image-classification":
        return _pixels(model, items)
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    asked = [(item["question"], item["context"]) if isinstance(item, dict) else item for item in items]
    return [
        {
            "input_ids": np.array(encoding.ids, np.int64),
            "attention_mask": np.array(encoding.attention_mask, np.int64),
            "token_type_ids": np.array(encoding.type_ids, np.int64),
        }
        for encoding in tokenizer.encode_batch(asked)
    ]


def _pixels(model: Path, items: Sequence[Path]) -> list[Arrays]:
    from PIL import Image
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(model, use_fast=False)
    found = []
    for item in items:
        with Image.open(item) as image:
            found.append({"pixel_values": processor(image.convert("RGB"), return_tensors="np")["pixel_values"][0]})
    return found


def batches(given: Sequence[Arrays], size: int, names: Sequence[str], *, by_length: bool) -> list[Arrays]:
    """Batches of a size, padded to their longest row, with the inputs of these names.

    Rows of like lengths come together if `by_length`, and the batches in any order; else all stay in the order of
    arrival. What is left over of a last, smaller batch is left out. KeyError where a name is not known.
    """
    ordered = sorted(given, key=_length) if by_length else list(given)
    groups = list(_groups(ordered, min(size, len(ordered))))
    if by_length:
        # Or the longest would come last, all together.
        random.Random(size).shuffle(groups)
    return [{name: _padded([row[name] for row in group]) for name in names} for group in groups]


def _groups(ordered: Sequence[Arrays], size: int) -> Iterator[Sequence[Arrays]]:
    for start in range(0, len(ordered) - size + 1, size):
        yield ordered[start : start + size]


def _length(row: Arrays) -> int:
    return len(row["input_ids"]) if "input_ids" in row else 0


def _padded(values: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if values[0].ndim != 1:
        return np.stack(values)
    target = np.zeros((len(values), max(map(len, values))), values[0].dtype)
    for row, value in zip(target, values, strict=True):
        row[: len(value)] = value
    return target
