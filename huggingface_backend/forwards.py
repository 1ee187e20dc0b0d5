"""Batches the forward pass of a transformers pipeline over all calls that wait.

Every call runs the pipeline's own code in a thread: its reading of parameters, its preprocessing, its postprocessing.
Only the forward pass is taken out of its hands: rows of all calls that want the same parameters wait in one queue, and
one thread runs them together. What the pipeline does around the model, and so the shape of an answer, stays its own.
"""

from __future__ import annotations

import copy
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

from huggingface_backend.forward_row import Row
from huggingface_backend.generation import CALLER, watch
from huggingface_backend.manifest import Batching
from huggingface_backend.sampling import DRAWS
from huggingface_backend.session import Counters
from huggingface_backend.sharing import Sharing, shows_padding

logger = logging.getLogger(__name__)

MAX_ROWS = 8
MAX_GENERATING_ROWS = 32
"""Rows of one batch: a pass over a big image or sound fills the cores, a step of generation is one token a row."""

GATHER = 0.005
"""Seconds in which the clients just answered may ask again, after a generation: who comes late waits for all of it."""


class Forwards:
    """The forward pass of one pipeline, from a thread of its own. Patches the pipeline's ways to it."""

    def __init__(self, pipe: Any, batching: Batching, report: Callable[[Counters], None], most: int = 0) -> None:
        """A pass has `most` rows at most, where that is not 0."""
        self._pipe, self._report = pipe, report
        self._counters = Counters()
        self._forward: Callable[..., Any] = pipe.forward
        self._generates = bool(pipe.model.can_generate())
        self._most = most or (MAX_GENERATING_ROWS if self._generates else MAX_ROWS)
        self._decoder_only = self._generates and not getattr(pipe.model.config, "is_encoder_decoder", False)
        self._sharing = Sharing(pipe, batching, generates=self._generates, decoder_only=self._decoder_only)
        self._chunks = _chunks(pipe)
        # A fast tokenizer cannot be used by two threads while its truncation is being changed.
        lock = threading.RLock()
        self._preprocess, self._postprocess = _locked(pipe.preprocess, lock), _locked(pipe.postprocess, lock)
        pipe._sanitize_parameters = _locked(pipe._sanitize_parameters, lock)
        pipe.run_single = self._run_single
        pipe.get_iterator = self._get_iterator
        self._lock = lock
        self._running: list[Row] = []
        watch(pipe.model, lambda: self._running)
        self.open = threading.Event()
        """Cleared, no batch is begun: rows gather until it is set."""
        self.open.set()
        self.gathered = 0
        """Calls that have put all of their rows into the queue."""
        self._inbox: queue.SimpleQueue[Row | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="forwards", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._inbox.put(None)
        self._thread.join()

    def _run_single(self, inputs: Any, *params: Mapping[str, Any]) -> Any:
        return next(iter(self._answers([inputs], *params)))

    def _get_iterator(
        self, inputs: Iterable[Any], _workers: int, _batch_size: int, *params: Mapping[str, Any]
    ) -> Iterator[Any]:
        draws = DRAWS.get()
        if draws is not None:
            # The pipeline's own loop takes a random number before the first row, for the workers of a DataLoader.
            draws.skip()
        return self._answers(inputs, *params)

    def _answers(
        self,
        inputs: Iterable[Any],
        preprocess_params: Mapping[str, Any],
        forward_params: Mapping[str, Any],
        postprocess_params: Mapping[str, Any],
    ) -> Iterator[Any]:
        """The answer to each input, in order; all of their rows are in the queue before the first is waited for."""
        alone = shows_padding(postprocess_params)
        waiting = [
            [self._submit(row, forward_params, alone=alone) for row in self._rows_of(item, preprocess_params)]
            for item in inputs
        ]
        with self._lock:
            self.gathered += 1
        for rows in waiting:
            for row in rows:
                row.follow()
            outputs = [row.result.result() for row in rows]
            for output in outputs:
                if self._chunks and isinstance(output, dict):
                    output.pop("is_last", None)
            yield self._postprocess(outputs if self._chunks else outputs[0], **postprocess_params)

    def _rows_of(self, item: Any, preprocess_params: Mapping[str, Any]) -> list[Any]:
        with self._lock:
            made = self._preprocess(item, **preprocess_params)
            return list(made) if self._chunks else [made]

    def _submit(self, inputs: Any, params: Mapping[str, Any], *, alone: bool) -> Row:
        draws = DRAWS.get()
        params = {name: dict(value) if isinstance(value, dict) else value for name, value in params.items()}
        key = self._sharing.key(inputs, params, alone=alone or draws is not None)
        row = Row(inputs, params, key, draws, CALLER.get(), self._ends_early(params))
        self._inbox.put(row)
        return row

    def _ends_early(self, params: Mapping[str, Any]) -> bool:
        """Whether a row's output is nothing but its ids."""
        if self._pipe.task != "text-generation":
            return False
        config = params.get("generation_config") or self._pipe.generation_config
        return not params.get("return_dict_in_generate", config.return_dict_in_generate)

    def _loop(self) -> None:
        waiting: list[Row] = []
        while self._receive(waiting):
            if not self.open.is_set():
                self.open.wait()
                continue
            first = waiting[0]
            limit = 1 if first.key is None else self._most
            batch = [row for row in waiting if row is first or (first.key is not None and row.key == first.key)][:limit]
            taken = set(map(id, batch))
            waiting = [row for row in waiting if id(row) not in taken]
            self._run([row for row in batch if not row.gone()])
            self._counters.cancelled += sum(row.left for row in batch)
            self._report(self._counters)
            if self._generates:
                time.sleep(GATHER)

    def _receive(self, waiting: list[Row]) -> bool:
        """Take what came in, waiting for something if there is nothing to do; False when it ends."""
        while True:
            try:
                row = self._inbox.get(block=not waiting)
            except queue.Empty:
                return True
            if row is None:
                for left in waiting:
                    left.end(error=CancelledError())
                return False
            waiting.append(row)

    def _run(self, rows: list[Row]) -> None:
        if not rows:
            return
        self._counters.runs += 1
        self._counters.rows += len(rows)
        # Before its end, which some rows do not wait for.
        self._report(self._counters)
        self._running = rows
        for row in rows:
            row.prompt = None  # of a batch that failed
        try:
            outputs = self._together(rows) if len(rows) > 1 else [self._alone(rows[0])]
        except Exception as error:  # whatever a model raises belongs to one row
            # What a client has read of a text cannot be written again.
            for row in rows if len(rows) == 1 else [row for row in rows if row.streamed and row.prompt is not None]:
                row.end(error=error)
            left = [row for row in rows if not row.result.done()]
            if left:
                logger.info("a batch of %d failed: trying its rows one by one: %s", len(rows), error)
            for row in left:
                self._run([row])
        else:
            for row, output in zip(rows, outputs, strict=True):
                row.end(output)
        finally:
            self._running = []

    def _alone(self, row: Row) -> Any:
        inputs = copy.copy(row.inputs)
        if row.draws is None:
            return self._forward(inputs, **row.params)
        with row.draws:
            return self._forward(inputs, **row.params)

    def _together(self, rows: list[Row]) -> list[Any]:
        from transformers.pipelines.base import pad_collate_fn
        from transformers.pipelines.pt_utils import PipelineIterator

        pipe = self._pipe
        extractor = pipe.feature_extractor if pipe.feature_extractor is not None else pipe.image_processor
        padding = None if pipe.tokenizer is None else _Padding.of(pipe, left=self._decoder_only)
        collated = pad_collate_fn(padding, None if padding is not None and extractor is None else extractor)(
            [row.inputs for row in rows]
        )
        # The same number in every row is a setting of the model's, and no input of a row.
        collated |= {name: value for name, value in rows[0].inputs.items() if type(value) is int}
        outputs = list(PipelineIterator([collated], self._forward, rows[0].params, loader_batch_size=len(rows)))
        if len(outputs) != len(rows):
            raise RuntimeError(f"{len(rows)} rows gave {len(outputs)} outputs")
        return outputs


@dataclass(frozen=True, slots=True)
class _Padding:
    """What the collation of transformers reads off a tokenizer."""

    pad_token_id: int
    padding_side: str

    @classmethod
    def of(cls, pipe: Any, *, left: bool) -> _Padding:
        pad = pipe.tokenizer.pad_token_id
        return cls(0 if pad is None else pad, "left" if left else pipe.tokenizer.padding_side)


def _chunks(pipe: Any) -> bool:
    from transformers.pipelines.base import ChunkPipeline

    return isinstance(pipe, ChunkPipeline)


def _locked(function: Callable[..., Any], lock: threading.RLock) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        with lock:
            return function(*arguments, **options)

    return run
