"""One ONNX Runtime session over a graph of token ids or pixels, and the count of what it ran."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from huggingface_backend.batches import PIXELS, TEXT_INPUTS, Batch, PixelBatch
from huggingface_backend.errors import EntryError


@dataclass(slots=True)
class Counters:
    """What the session ran since it was made."""

    runs: int = 0
    rows: int = 0
    tokens: int = 0
    """Padding included: what was computed, not what was asked for."""
    cancelled: int = 0
    """Rows of generations that were given up, as their clients had gone."""


class Session:
    """Runs the graph."""

    def __init__(self, graph: Path, threads: int = 0, outputs: Sequence[str] = ()) -> None:
        """`threads` 0 means every core this process may use; `outputs` are what `run` returns, the first if empty.

        EntryError where the graph cannot be served.
        """
        try:
            self._session = onnxruntime.InferenceSession(str(graph), session_options(threads), providers=providers())
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            raise EntryError(f"{graph} cannot be loaded: {error}") from error
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        if self._inputs != [PIXELS] and (set(self._inputs) - TEXT_INPUTS or "input_ids" not in self._inputs):
            raise EntryError(f"{graph} takes {', '.join(self._inputs)}; input_ids or pixel_values alone were expected")
        given = [entry.name for entry in self._session.get_outputs()]
        self._outputs = list(outputs) or given[:1]
        missing = sorted(set(self._outputs) - set(given))
        if missing:
            raise EntryError(f"{graph} gives {', '.join(given)}, and no {', '.join(missing)}")
        self.counters = Counters()

    def run(self, batch: Batch | PixelBatch) -> list[NDArray[Any]]:
        """The outputs, one entry a row in each: (rows, labels) logits or (rows, tokens, hidden) states."""
        self.counters.runs += 1
        self.counters.rows += batch.rows
        self.counters.tokens += batch.tokens
        outputs: list[NDArray[Any]] = self._session.run(self._outputs, batch.feed(self._inputs))
        return outputs


def session_options(threads: int = 0) -> onnxruntime.SessionOptions:
    """Threads of a session, every core for 0. They do not spin: the server, the client and Triton need the cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def providers() -> list[str]:
    """CUDA where the installed ONNX Runtime and the machine have it, else the CPU."""
    available = onnxruntime.get_available_providers()
    wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    return [provider for provider in wanted if provider in available]
