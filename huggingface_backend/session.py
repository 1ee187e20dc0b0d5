"""One ONNX Runtime session over a graph of token ids or pixels, and the count of what it ran."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from huggingface_backend.batches import PIXELS, TEXT_INPUTS, Batch, PixelBatch
from huggingface_backend.binding import Bound
from huggingface_backend.errors import EntryError
from huggingface_backend.providers import CPU, HERE, Place, Provider, choose, device, opened
from huggingface_backend.wire import STAGES

TWICE = 512 * 1024 * 1024
"""Bytes of weights up to which a graph is loaded twice: for runs on all cores, and for those in lanes."""
ON_CARD = 2
"""Lanes of a card's session: one tokenises and answers while the other's batch is on the card."""


class Counters:
    """What a session and the engine around it did since they were made. Any thread may count."""

    def __init__(self) -> None:
        self.runs = 0
        self.rows = 0
        self.tokens = 0
        """Padding included: what was computed, not what was asked for."""
        self.cancelled = 0
        """Rows of generations that were given up, as their clients had gone."""
        self.requests = 0
        """Requests that `seconds` is the sum of."""
        self.seconds = dict.fromkeys(STAGES, 0.0)
        """What requests spent in each stage of the engine, the one that it shared with others included."""
        self.cpu_seconds = dict.fromkeys(STAGES[1:], 0.0)
        """Processor time of the engine's own threads."""
        self._lock = threading.Lock()

    def ran(self, rows: int, tokens: int) -> None:
        with self._lock:
            self.runs += 1
            self.rows += rows
            self.tokens += tokens

    def tokenised(self, cpu: float) -> None:
        with self._lock:
            self.cpu_seconds["tokenise"] += cpu

    def inferred(self, cpu: float) -> None:
        with self._lock:
            self.cpu_seconds["infer"] += cpu

    def answered(self, total: float, tokenising: float, inferring: float, encoding: float) -> None:
        """One request, in seconds; what is left of the total it waited."""
        with self._lock:
            self.requests += 1
            self.seconds["queue"] += max(0.0, total - tokenising - inferring - encoding)
            self.seconds["tokenise"] += tokenising
            self.seconds["infer"] += inferring
            self.seconds["encode"] += encoding
            self.cpu_seconds["encode"] += encoding


class Session:
    """Runs the graph: on all cores, or several runs beside each other with a core each."""

    def __init__(
        self,
        graph: Path,
        threads: int = 0,
        outputs: Sequence[str] = (),
        lanes: int | None = None,
        place: Place = HERE,
    ) -> None:
        """`threads` 0 means every core this process may use; `outputs` are what `run` returns, the first if empty.

        `lanes` are the runs beside each other; None for what suits the graph and the machine, which keeps the weights
        twice where they are more than one. EntryError where the graph cannot be served.
        """
        threads = threads or _cores()
        self.lanes = lanes or _lanes(graph, threads)
        # Beside lanes, a run on all cores has them for itself, and its threads need not be woken for every operator.
        self._wide = _open(graph, session_options(threads, spinning=self.lanes > 1), choose(graph, place))
        on_card = device(self._wide) is not None
        if on_card:
            self.lanes = lanes or ON_CARD
        self._narrow = self._wide if on_card or self.lanes == 1 else _open(graph, session_options(1), [CPU])
        self._inputs = [entry.name for entry in self._wide.get_inputs()]
        if self._inputs != [PIXELS] and (set(self._inputs) - TEXT_INPUTS or "input_ids" not in self._inputs):
            raise EntryError(f"{graph} takes {', '.join(self._inputs)}; input_ids or pixel_values alone were expected")
        given = [entry.name for entry in self._wide.get_outputs()]
        self._outputs = list(outputs) or given[:1]
        missing = sorted(set(self._outputs) - set(given))
        if missing:
            raise EntryError(f"{graph} gives {', '.join(given)}, and no {', '.join(missing)}")
        self.spreads = self._wide is not self._narrow
        """Whether a run on all cores is another one than that in a lane."""
        self._bound = Bound(self._wide, self._inputs, self._outputs) if on_card else None
        self.counters = Counters()

    def run(self, batch: Batch | PixelBatch, *, wide: bool = True) -> list[NDArray[Any]]:
        """The outputs, one entry a row in each: (rows, labels) logits or (rows, tokens, hidden) states.

        On all cores where `wide`, else in a lane. Any thread may call.
        """
        feed = batch.feed(self._inputs)
        if self._bound is not None:
            outputs = self._bound.run(feed)
        else:
            session = self._wide if wide else self._narrow
            outputs = session.run(self._outputs, feed)
        self.counters.ran(batch.rows, batch.tokens)
        return outputs


def _open(graph: Path, options: onnxruntime.SessionOptions, chosen: Sequence[Provider]) -> Any:
    try:
        return opened(graph, options, chosen)
    except Exception as error:  # ONNX Runtime's exceptions share no public base
        raise EntryError(f"{graph} cannot be loaded: {error}") from error


def _lanes(graph: Path, threads: int) -> int:
    """One a core, where the weights are small enough to be kept twice."""
    size = sum(path.stat().st_size for path in graph.parent.glob(f"{graph.name}*"))
    return threads if size <= TWICE else 1


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def session_options(threads: int = 0, *, spinning: bool = False) -> onnxruntime.SessionOptions:
    """Threads of a session, every core for 0.

    Those that have no work spin only where they are told to, and then no longer than a run: the server, the client and
    Triton need the cores.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options
