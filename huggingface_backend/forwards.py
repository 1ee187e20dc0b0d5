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
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from huggingface_backend.manifest import Batching
from huggingface_backend.sampling import Draws
from huggingface_backend.session import Counters

logger = logging.getLogger(__name__)

MAX_ROWS = 8
MAX_GENERATING_ROWS = 32
"""Rows of one batch: a pass over a big image or sound fills the cores, a step of generation is one token a row."""

GATHER = 0.005
"""Seconds in which the clients just answered may ask again, after a generation: who comes late waits for all of it."""

DRAWS: ContextVar[Draws | None] = ContextVar("draws", default=None)
"""The random numbers of the call that a thread runs, where it asked for its own (`seed`)."""


@dataclass(slots=True, eq=False)
class _Row:
    inputs: Any
    params: dict[str, Any]
    key: object
    """Rows of equal keys may share a batch; None for one that must be alone."""
    draws: Draws | None = None
    result: Future[Any] = field(default_factory=Future)


class Forwards:
    """The forward pass of one pipeline, from a thread of its own. Patches the pipeline's ways to it."""

    def __init__(self, pipe: Any, batching: Batching, report: Callable[[Counters], None]) -> None:
        self._pipe, self._batching, self._report = pipe, batching, report
        self._counters = Counters()
        self._forward: Callable[..., Any] = pipe.forward
        self._generates = bool(pipe.model.can_generate())
        self._decoder_only = self._generates and not getattr(pipe.model.config, "is_encoder_decoder", False)
        self._chunks = _chunks(pipe)
        # A fast tokenizer cannot be used by two threads while its truncation is being changed.
        lock = threading.RLock()
        self._preprocess, self._postprocess = _locked(pipe.preprocess, lock), _locked(pipe.postprocess, lock)
        pipe._sanitize_parameters = _locked(pipe._sanitize_parameters, lock)
        pipe.run_single = self._run_single
        pipe.get_iterator = self._get_iterator
        self._lock = lock
        self.open = threading.Event()
        """Cleared, no batch is begun: rows gather until it is set."""
        self.open.set()
        self.gathered = 0
        """Calls that have put all of their rows into the queue."""
        self._inbox: queue.SimpleQueue[_Row | None] = queue.SimpleQueue()
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
        alone = _shows_padding(postprocess_params)
        waiting = [
            [self._submit(row, forward_params, alone=alone) for row in self._rows_of(item, preprocess_params)]
            for item in inputs
        ]
        with self._lock:
            self.gathered += 1
        for rows in waiting:
            outputs = [row.result() for row in rows]
            for output in outputs:
                if self._chunks and isinstance(output, dict):
                    output.pop("is_last", None)
            yield self._postprocess(outputs if self._chunks else outputs[0], **postprocess_params)

    def _rows_of(self, item: Any, preprocess_params: Mapping[str, Any]) -> list[Any]:
        with self._lock:
            made = self._preprocess(item, **preprocess_params)
            return list(made) if self._chunks else [made]

    def _submit(self, inputs: Any, params: Mapping[str, Any], *, alone: bool) -> Future[Any]:
        draws = DRAWS.get()
        params = {name: dict(value) if isinstance(value, dict) else value for name, value in params.items()}
        together = self._batching != "none" and draws is None and not alone and hasattr(inputs, "items")
        together = together and not self._loses_sequences(params)
        row = _Row(inputs, params, self._key(inputs, params) if together else None, draws)
        self._inbox.put(row)
        return row.result

    def _key(self, inputs: Any, params: Mapping[str, Any]) -> object:
        padded = self._batching == "padded" and not (self._decoder_only and self._counts_padding(params))
        shapes = [
            (name, _told(value)) if name in _SHARED or type(value) is int else (name, *_shape(value, padded=padded))
            for name, value in sorted(inputs.items())
        ]
        return repr((shapes, sorted((name, _told(value)) for name, value in params.items())))

    def _loses_sequences(self, params: Mapping[str, Any]) -> bool:
        """Whether the pipeline gives several sequences a row without saying which row they are of."""
        if not self._generates or hasattr(self._pipe, "check_inputs") or self._decoder_only:
            return False
        inner = params.get("generate_kwargs")
        chosen = {**params, **inner} if isinstance(inner, dict) else params
        config = chosen.get("generation_config") or self._pipe.generation_config
        return bool(chosen.get("num_return_sequences", getattr(config, "num_return_sequences", 1)) != 1)

    def _counts_padding(self, params: Mapping[str, Any]) -> bool:
        """Whether these parameters count or look at the prompt's tokens, and so at the padding in front of it."""
        config = params.get("generation_config") or self._pipe.generation_config
        chosen = {name: params.get(name, getattr(config, name, None)) for name in (*_NEUTRAL, "max_new_tokens")}
        if chosen["max_new_tokens"] is None:
            return True
        return any(chosen[name] not in (None, neutral) for name, neutral in _NEUTRAL.items())

    def _loop(self) -> None:
        waiting: list[_Row] = []
        while self._receive(waiting):
            if not self.open.is_set():
                self.open.wait()
                continue
            first = waiting[0]
            limit = 1 if first.key is None else MAX_GENERATING_ROWS if self._generates else MAX_ROWS
            batch = [row for row in waiting if row is first or (first.key is not None and row.key == first.key)][:limit]
            taken = set(map(id, batch))
            waiting = [row for row in waiting if id(row) not in taken]
            self._run(batch)
            self._report(self._counters)
            if self._generates:
                time.sleep(GATHER)

    def _receive(self, waiting: list[_Row]) -> bool:
        """Take what came in, waiting for something if there is nothing to do; False when it ends."""
        while True:
            try:
                row = self._inbox.get(block=not waiting)
            except queue.Empty:
                return True
            if row is None:
                for left in waiting:
                    left.result.cancel()
                return False
            waiting.append(row)

    def _run(self, rows: list[_Row]) -> None:
        self._counters.runs += 1
        self._counters.rows += len(rows)
        try:
            outputs = self._together(rows) if len(rows) > 1 else [self._alone(rows[0])]
        except Exception as error:  # whatever a model raises belongs to one row
            if len(rows) == 1:
                rows[0].result.set_exception(error)
                return
            logger.info("a batch of %d failed: trying its rows one by one: %s", len(rows), error)
            for row in rows:
                self._run([row])
        else:
            for row, output in zip(rows, outputs, strict=True):
                row.result.set_result(output)

    def _alone(self, row: _Row) -> Any:
        inputs = copy.copy(row.inputs)
        if row.draws is None:
            return self._forward(inputs, **row.params)
        with row.draws:
            return self._forward(inputs, **row.params)

    def _together(self, rows: list[_Row]) -> list[Any]:
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


_NEUTRAL = {
    "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "guidance_scale": 1.0,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "prompt_lookup_num_tokens": None,
    "repetition_penalty": 1.0,
    "sequence_bias": None,
    "bad_words_ids": None,
    "penalty_alpha": None,
    "dola_layers": None,
}
"""Generation parameters that see the prompt's tokens, each with the value that does nothing."""


_SHARED = frozenset({"candidate_labels", "text_inputs"})
"""Inputs of which a pass has one for all rows."""


def _shows_padding(postprocess_params: Mapping[str, Any]) -> bool:
    """Whether an answer would hold the padding behind a row that ended before its neighbours."""
    kind = postprocess_params.get("return_type")
    return (
        bool(postprocess_params.get("return_tensors"))
        or getattr(kind, "name", "") == "TENSORS"
        or postprocess_params.get("skip_special_tokens") is False
    )


def _shape(value: Any, *, padded: bool) -> tuple[Any, ...]:
    """What must be equal of an input in one batch: its axes, without those that padding makes equal."""
    shape = getattr(value, "shape", None)
    if shape is None:
        return (type(value).__name__,)
    return (len(shape), *(shape[2:] if padded and len(shape) == 2 else shape))


def _told(value: Any) -> Any:
    """A parameter's value, in words if it is plain, else by its identity."""
    if isinstance(value, Mapping):
        return sorted((str(name), _told(item)) for name, item in value.items())
    if isinstance(value, list | tuple):
        return [_told(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return repr(value) if isinstance(value, str | int | float | bool | type(None)) else id(value)


def _chunks(pipe: Any) -> bool:
    from transformers.pipelines.base import ChunkPipeline

    return isinstance(pipe, ChunkPipeline)


def _locked(function: Callable[..., Any], lock: threading.RLock) -> Callable[..., Any]:
    def run(*arguments: Any, **options: Any) -> Any:
        with lock:
            return function(*arguments, **options)

    return run
