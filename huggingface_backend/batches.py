"""What a graph is fed: padded token ids, or pixels of one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from huggingface_backend.manifest import TokenizerFacts

TEXT_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})
PIXELS = "pixel_values"
_PATCH = 16
"""Pixels a side of what counts as a token: as vision transformers cut images."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded rows: each array is int64 of shape (rows, longest row)."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]
    lengths: list[int]
    """Tokens of each row without the batch's padding; padding a request asked for counts."""
    encodings: Sequence[Encoding] = ()
    """What the rows were made of."""

    @property
    def rows(self) -> int:
        return self.input_ids.shape[0]

    @property
    def tokens(self) -> int:
        """Padding included."""
        return self.input_ids.size

    def feed(self, names: Sequence[str]) -> dict[str, NDArray[np.int64]]:
        """The graph's inputs of these names."""
        return {name: getattr(self, name) for name in names}

    @property
    def position_ids(self) -> NDArray[np.int64]:
        """Positions from 0 in every row, as they are for a row alone; decoders' exports ask for them."""
        return np.broadcast_to(np.arange(self.input_ids.shape[1], dtype=np.int64), self.input_ids.shape)

    @classmethod
    def of(cls, encodings: Sequence[Encoding], facts: TokenizerFacts) -> Batch:
        """Pad on the right, whatever side the tokenizer prefers, so that a row keeps the positions it has alone."""
        lengths = [len(encoding) for encoding in encodings]
        shape = (len(encodings), max(lengths))
        ids = np.full(shape, facts.pad_token_id, np.int64)
        mask = np.zeros(shape, np.int64)
        types = np.full(shape, facts.pad_token_type_id if facts.token_types else 0, np.int64)
        for row, (length, encoding) in enumerate(zip(lengths, encodings, strict=True)):
            ids[row, :length] = encoding.ids
            mask[row, :length] = encoding.attention_mask
            if facts.token_types:
                types[row, :length] = encoding.type_ids
        return cls(ids, mask, types, lengths, encodings)


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image as a graph takes it: float32 of shape (channels, height, width). Its length is its cost in tokens."""

    values: NDArray[np.float32]

    def __len__(self) -> int:
        _channels, height, width = self.values.shape
        return max(1, (height // _PATCH) * (width // _PATCH))


@dataclass(frozen=True, slots=True)
class PixelBatch:
    """Images of equal size: float32 of shape (rows, channels, height, width)."""

    pixel_values: NDArray[np.float32]
    lengths: list[int]

    @property
    def rows(self) -> int:
        return self.pixel_values.shape[0]

    @property
    def tokens(self) -> int:
        return sum(self.lengths)

    def feed(self, names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of(cls, images: Sequence[Pixels]) -> PixelBatch:
        return cls(np.stack([image.values for image in images]), [len(image) for image in images])


def shape(item: Any) -> tuple[int, ...]:
    """What must be equal where a batch cannot be padded: an image's size, or a text's tokens."""
    return item.values.shape if isinstance(item, Pixels) else (len(item),)
