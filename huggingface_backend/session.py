"""One ONNX Runtime session over a graph of token ids, and the count of what it ran."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Encoding

from huggingface_backend.errors import EntryError
from huggingface_backend.manifest import TokenizerFacts

TEXT_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", "position_ids"})


@dataclass(slots=True)
class Counters:
    """What the session ran since it was made."""

    runs: int = 0
    rows: int = 0
    tokens: int = 0
    """Padding included: what was computed, not what was asked for."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded rows: each array is int64 of shape (rows, longest row)."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]
    lengths: list[int]
    """Tokens of each row without the batch's padding; padding a request asked for counts."""

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
        return cls(ids, mask, types, lengths)


class Session:
    """Runs the graph. Threads do not spin: the server, the client and Triton need the same cores."""

    def __init__(self, graph: Path, threads: int = 0) -> None:
        """`threads` 0 means every core this process may use. EntryError where the graph cannot be served."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(graph), options, providers=providers())
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            raise EntryError(f"{graph} cannot be loaded: {error}") from error
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        self._output = self._session.get_outputs()[0].name
        unknown = sorted(set(self._inputs) - TEXT_INPUTS)
        if unknown or "input_ids" not in self._inputs:
            raise EntryError(f"{graph} takes {', '.join(self._inputs)}, not input_ids and attention_mask")
        self.counters = Counters()

    def run(self, batch: Batch) -> NDArray[Any]:
        """The graph's first output, one entry a row: (rows, labels) logits or (rows, tokens, hidden) states."""
        feed = {name: getattr(batch, name) for name in self._inputs}
        self.counters.runs += 1
        self.counters.rows += batch.input_ids.shape[0]
        self.counters.tokens += batch.input_ids.size
        output: NDArray[Any] = self._session.run([self._output], feed)[0]
        return output


def providers() -> list[str]:
    """CUDA where the installed ONNX Runtime and the machine have it, else the CPU."""
    available = onnxruntime.get_available_providers()
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    return [provider for provider in wanted if provider in available]
