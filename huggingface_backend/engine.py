"""Batches rows, not requests, continuously.

A request is handed over and waits for nobody: a thread of the engine takes *waves* of rows from every request
that waits, tokenises them, sorts them by length and runs them in batches of at most `token_budget` tokens,
padding included. A request is answered as soon as its last row is done. What arrives meanwhile joins the next
wave, and no request puts more than one budget into a wave, so that a list of ten thousand texts and a single
short one share the model. A row that fails takes only its own request with it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from huggingface_backend.batches import shape
from huggingface_backend.errors import InvalidInput, ModelError, RequestError, first_line
from huggingface_backend.messages import Done, Tell, never
from huggingface_backend.rows import Pending, Row, cut, encode
from huggingface_backend.session import Session
from huggingface_backend.tasks.base import Task
from huggingface_backend.tokenization import TextTokenizer, TokenizeOptions

logger = logging.getLogger(__name__)

DEFAULT_TOKEN_BUDGET = 2048

GIANT = 50_000
"""Characters above which a text is tokenised beside the waves, by a thread of its own: megabytes take seconds."""

WAVE = 4
"""Token budgets in one wave: what arrives meanwhile waits for no more than that."""

PATIENCE = 0.5
"""Seconds after which a waiting call is asked, once a wave, whether its client has gone."""

IDLE = 0.1
"""Seconds without work after which counters are reported."""
BUSY = 1.0
"""Seconds between two reports under load."""


class Engine:
    """One model: its task, its tokenizer, its session, and the thread that runs them."""

    def __init__(
        self,
        task: Task,
        session: Session,
        tokenizer: Callable[[], TextTokenizer] | None = None,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        when_idle: Callable[[], None] = lambda: None,
        rows_per_run: int = 0,
    ) -> None:
        """`tokenizer` makes one more: giant texts get their own, because a tokenizer holds the state of its last call.

        `when_idle` is called from the engine's thread when nothing came for `IDLE` seconds, and at least every
        `BUSY` seconds while something does. A run of the graph has `rows_per_run` rows at most, where that is not 0.
        """
        self._task, self._session, self._budget = task, session, task.budget(token_budget)
        self._rows = rows_per_run
        self._make_tokenizer = tokenizer
        self._giants = ThreadPoolExecutor(1, "giants")
        self._giants_tokenizer: TextTokenizer | None = None
        self._when_idle = when_idle
        self._told = time.monotonic()
        self._inbox: queue.SimpleQueue[Pending | Row | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self._warm_up()
        self._thread.start()

    def submit(
        self,
        inputs: object,
        parameters: Mapping[str, Any],
        done: Done,
        cancelled: Callable[[], bool] = never,
        tell: Tell | None = None,  # noqa: ARG002
    ) -> None:
        """Hand over a call; `done` gets its answer or its RequestError, now or later, from this thread or another.

        Once `cancelled` says so, what is left of the call is dropped.
        """
        if self._task.encodes and _characters(inputs) > GIANT:
            self._giants.submit(self._take, inputs, parameters, done, cancelled)
        else:
            self._take(inputs, parameters, done, cancelled)

    def _take(self, inputs: object, parameters: Mapping[str, Any], done: Done, cancelled: Callable[[], bool]) -> None:
        try:
            call = self._task.call(inputs, parameters)
        except RequestError as error:
            done(error)
            return
        except Exception:
            logger.exception("unexpected failure in a call")
            done(ModelError("unexpected failure in the server; see its log"))
            return
        pending = Pending(call, self._task, done, cancelled)
        if call.items:
            self._inbox.put(pending)
        else:
            pending.finish()

    def close(self) -> None:
        """End the engine's thread after the wave it is in."""
        self._inbox.put(None)
        self._thread.join()
        self._giants.shutdown(cancel_futures=True)

    def _loop(self) -> None:
        active: list[Pending] = []
        encoded: list[Row] = []
        while self._receive(active, encoded):
            wave, encoded = encoded, []
            left = WAVE * self._budget
            # The oldest call goes on in every wave; behind it, who had fewer waves comes first.
            for pending in [*active[:1], *sorted(active[1:], key=lambda pending: pending.waves)]:
                if left <= 0:
                    break
                # Asking costs a message to tritonserver, so only calls that take their time are asked.
                if time.monotonic() - pending.since > PATIENCE and pending.cancelled():
                    pending.settle(RequestError("cancelled by the client", 499))
                rows = list(pending.take(self._budget))
                pending.waves += 1
                left -= sum(row.size for row in rows)
                wave += rows
            active = [pending for pending in active if not pending.exhausted]
            try:
                self._run(wave)
            except Exception:
                logger.exception("unexpected failure in a wave")
                for row in wave:
                    row.owner.settle(ModelError("unexpected failure in the server; see its log"))
            if time.monotonic() - self._told > BUSY:
                self._tell()

    def _receive(self, active: list[Pending], encoded: list[Row]) -> bool:
        """Take what came in, waiting for something if there is nothing to do; False when the engine closes."""
        block = not active
        while True:
            try:
                item = self._inbox.get(block, IDLE)
            except queue.Empty:
                if not block:
                    return True
                self._tell()
                item = self._inbox.get()
            if item is None:
                return False
            if isinstance(item, Row):
                encoded.append(item)
            else:
                active.append(item)
            block = False

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._when_idle()

    def _warm_up(self) -> None:
        """One small run, so that the first request does not pay for the session's first allocations."""
        done: queue.SimpleQueue[object] = queue.SimpleQueue()
        pending = Pending(self._task.example(), self._task, done.put, never)
        self._run(list(pending.take(self._budget)))

    def _run(self, wave: list[Row]) -> None:
        groups: dict[TokenizeOptions, list[Row]] = {}
        for row in wave:
            if row.ready is not None:
                continue
            if row.characters > GIANT:
                self._giants.submit(self._encode_giant, row)
            else:
                groups.setdefault(row.owner.call.options, []).append(row)
        for group in groups.values():
            self._isolate(group, lambda rows: encode(rows, self._task.tokenizer, offsets=self._task.offsets))
        ready = [row for row in wave if row.ready is not None and self._fits(row)]
        ready.sort(key=lambda row: (row.length, shape(row.ready)))
        alike = self._task.manifest.tokenizer.pad_token is None
        for batch in cut(ready, self._budget, equal_shapes=alike, most=self._rows):
            self._isolate(batch, self._infer)

    def _encode_giant(self, row: Row) -> None:
        if self._giants_tokenizer is None:
            self._giants_tokenizer = self._make_tokenizer() if self._make_tokenizer else self._task.tokenizer
        tokenizer = self._giants_tokenizer
        self._isolate([row], lambda rows: encode(rows, tokenizer, offsets=self._task.offsets))
        if row.ready is not None:
            self._inbox.put(row)

    def _fits(self, row: Row) -> bool:
        limit = self._task.manifest.max_tokens
        if not row.length:
            row.owner.settle(InvalidInput("a text without any token cannot be answered"))
        elif limit is not None and row.length > limit:
            row.owner.settle(too_long(row.length, limit, self._task.cutting))
        return not row.owner.settled

    def _infer(self, rows: Sequence[Row]) -> None:
        rows = [row for row in rows if not row.owner.settled]
        if not rows:
            return
        batch = self._task.batch([row.ready for row in rows])
        results = self._task.reduce(self._session.run(batch), batch)
        for row, result in zip(rows, results, strict=True):
            row.ready = None
            row.owner.put(row.index, result)

    def _isolate(self, rows: Sequence[Row], step: Callable[[Sequence[Row]], None]) -> None:
        """Run a step on all rows; where it fails, halve until the one row that fails is alone."""
        try:
            step(rows)
        except Exception as error:  # whatever ONNX Runtime or tokenizers raise belongs to one row
            if len(rows) > 1:
                middle = len(rows) // 2
                self._isolate(rows[:middle], step)
                self._isolate(rows[middle:], step)
            else:
                rows[0].owner.settle(self._blame(rows[0], error))

    def _blame(self, row: Row, error: Exception) -> RequestError:
        """What to tell the client of the row that failed alone."""
        if isinstance(error, RequestError):
            return error
        limit = self._task.manifest.tokenizer.model_max_length
        if limit is not None and row.length > limit:
            return too_long(row.length, limit, self._task.cutting)
        return ModelError(f"the model failed on this input: {first_line(error)}")


def too_long(length: int, limit: int, cutting: str) -> InvalidInput:
    way_out = f'shorten it or send "parameters": {cutting}' if cutting else "shorten it"
    return InvalidInput(f"the text has {length} tokens, the model takes {limit}; {way_out}")


def _characters(value: object) -> int:
    """Characters of all texts in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list | tuple) else 0
