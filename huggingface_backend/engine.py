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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from huggingface_backend.errors import InvalidInput, ModelError, RequestError
from huggingface_backend.session import Batch, Session
from huggingface_backend.tasks.base import Call, Task
from huggingface_backend.tokenization import TextTokenizer, TokenizeOptions

logger = logging.getLogger(__name__)

DEFAULT_TOKEN_BUDGET = 1024

GIANT = 50_000
"""Characters above which a text is tokenised beside the waves, by a thread of its own: megabytes take seconds."""

IDLE = 0.1
BUSY = 1.0

Done = Callable[[object], None]
"""Told an answer, or the RequestError that ended the call. Called once, from any thread."""


def never() -> bool:
    return False


class _Pending:
    """A call on its way: it settles once, with its answer or with the first error of one of its rows."""

    def __init__(self, call: Call, task: Task, done: Done, cancelled: Callable[[], bool]) -> None:
        self.call = call
        self.cancelled = cancelled
        self.settled = False
        self._task, self._done = task, done
        self._outputs: list[NDArray[Any] | None] = [None] * len(call.texts)
        self._left = len(call.texts)
        self._waiting = iter([_Row(self, index) for index in range(len(call.texts))])
        self._next: _Row | None = next(self._waiting, None)

    @property
    def exhausted(self) -> bool:
        """Every row is in a wave or done, or the call is settled."""
        return self._next is None or self.settled

    def take(self, budget: int) -> Iterator[_Row]:
        """Rows for a wave: about `budget` tokens of them, and one at least."""
        while self._next is not None and not self.settled:
            row = self._next
            self._next = next(self._waiting, None)
            yield row
            budget -= row.size
            if self._next is None or budget < self._next.size:
                return

    def put(self, index: int, output: NDArray[Any]) -> None:
        if self.settled:
            return
        self._outputs[index] = output
        self._left -= 1
        if not self._left:
            self.finish()

    def finish(self) -> None:
        """Answer from the rows' outputs."""
        rows = [output for output in self._outputs if output is not None]
        if not all(np.isfinite(row).all() for row in rows):
            self.settle(ModelError("the model's output contains NaN or infinity"))
            return
        try:
            answer = self._task.answer(self.call, rows)
        except RequestError as error:
            answer = error
        self.settle(answer)

    def settle(self, outcome: object) -> None:
        """Answer or fail; only the first time counts."""
        if self.settled:
            return
        self.settled = True
        try:
            self._done(outcome)
        except Exception:
            logger.exception("an answer could not be delivered")


@dataclass(slots=True, eq=False)
class _Row:
    owner: _Pending
    index: int
    encoding: Encoding | None = None

    @property
    def characters(self) -> int:
        text = self.owner.call.texts[self.index]
        return len(text.text) + len(text.pair or "")

    @property
    def size(self) -> int:
        """Tokens: known once it is encoded, else about a quarter of the characters."""
        return self.length or self.characters // 4 + 2

    @property
    def length(self) -> int:
        return 0 if self.encoding is None else len(self.encoding)


class Engine:
    """One model: its task, its tokenizer, its session, and the thread that runs them."""

    def __init__(
        self,
        task: Task,
        tokenizer: Callable[[], TextTokenizer],
        session: Session,
        token_budget: int = DEFAULT_TOKEN_BUDGET,
        when_idle: Callable[[], None] = lambda: None,
    ) -> None:
        """`tokenizer` makes one: giant texts get their own, because a tokenizer holds the state of its last call.

        `when_idle` is called from the engine's thread when nothing came for `IDLE` seconds, and at least every
        `BUSY` seconds while something does.
        """
        self._task, self._session, self._budget = task, session, token_budget
        self._make_tokenizer = tokenizer
        self._tokenizer = tokenizer()
        self._giants = ThreadPoolExecutor(1, "giants")
        self._giants_tokenizer: TextTokenizer | None = None
        self._when_idle = when_idle
        self._told = time.monotonic()
        self._inbox: queue.SimpleQueue[_Pending | _Row | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self._warm_up()
        self._thread.start()

    def submit(
        self, inputs: object, parameters: Mapping[str, Any], done: Done, cancelled: Callable[[], bool] = never
    ) -> None:
        """Hand over a call; `done` gets its answer or its RequestError, now or later, from this thread or another.

        Once `cancelled` says so, what is left of the call is dropped.
        """
        try:
            call = self._task.call(inputs, parameters)
        except RequestError as error:
            done(error)
            return
        pending = _Pending(call, self._task, done, cancelled)
        if call.texts:
            self._inbox.put(pending)
        else:
            pending.finish()

    def close(self) -> None:
        """End the engine's thread after the wave it is in."""
        self._inbox.put(None)
        self._thread.join()
        self._giants.shutdown(cancel_futures=True)

    def _loop(self) -> None:
        active: list[_Pending] = []
        encoded: list[_Row] = []
        while self._receive(active, encoded):
            wave, encoded = encoded, []
            for pending in active:
                if pending.cancelled():
                    pending.settle(RequestError("cancelled by the client", 499))
                wave += pending.take(self._budget)
            active = [pending for pending in active if not pending.exhausted]
            try:
                self._run(wave)
            except Exception:
                logger.exception("unexpected failure in a wave")
                for row in wave:
                    row.owner.settle(ModelError("unexpected failure in the server; see its log"))
            if time.monotonic() - self._told > BUSY:
                self._tell()

    def _receive(self, active: list[_Pending], encoded: list[_Row]) -> bool:
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
            if isinstance(item, _Row):
                encoded.append(item)
            else:
                active.append(item)
            block = False

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._when_idle()

    def _warm_up(self) -> None:
        """One small run, so that the first request does not pay for the session's first allocations."""
        encodings = self._tokenizer.encode(self._task.call("warm up", {}).texts[:1], TokenizeOptions())
        self._session.run(self._batch(encodings))

    def _run(self, wave: list[_Row]) -> None:
        groups: dict[TokenizeOptions, list[_Row]] = {}
        for row in wave:
            if row.encoding is not None:
                continue
            if row.characters > GIANT:
                self._giants.submit(self._encode_giant, row)
            else:
                groups.setdefault(row.owner.call.options, []).append(row)
        for group in groups.values():
            self._isolate(group, lambda rows: encode(rows, self._tokenizer))
        ready = [row for row in wave if row.encoding is not None and self._fits(row)]
        ready.sort(key=lambda row: row.length)
        for batch in cut(ready, self._budget, equal_lengths=self._task.manifest.tokenizer.pad_token is None):
            self._isolate(batch, self._infer)

    def _encode_giant(self, row: _Row) -> None:
        if self._giants_tokenizer is None:
            self._giants_tokenizer = self._make_tokenizer()
        tokenizer = self._giants_tokenizer
        self._isolate([row], lambda rows: encode(rows, tokenizer))
        if row.encoding is not None:
            self._inbox.put(row)

    def _fits(self, row: _Row) -> bool:
        limit = self._task.manifest.max_tokens
        if not row.length:
            row.owner.settle(InvalidInput("a text without any token cannot be answered"))
        elif limit is not None and row.length > limit:
            row.owner.settle(too_long(row.length, limit))
        return not row.owner.settled

    def _infer(self, rows: Sequence[_Row]) -> None:
        rows = [row for row in rows if not row.owner.settled]
        if not rows:
            return
        batch = self._batch([row.encoding for row in rows if row.encoding is not None])
        outputs = self._task.reduce(self._session.run(batch), batch)
        for row, output in zip(rows, outputs, strict=True):
            row.encoding = None
            row.owner.put(row.index, output)

    def _batch(self, encodings: Sequence[Encoding]) -> Batch:
        return Batch.of(encodings, self._task.manifest.tokenizer)

    def _isolate(self, rows: Sequence[_Row], step: Callable[[Sequence[_Row]], None]) -> None:
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

    def _blame(self, row: _Row, error: Exception) -> RequestError:
        """What to tell the client of the row that failed alone."""
        if isinstance(error, RequestError):
            return error
        limit = self._task.manifest.tokenizer.model_max_length
        if limit is not None and row.length > limit:
            return too_long(row.length, limit)
        return ModelError(f"the model failed on this input: {first_line(error)}")


def encode(rows: Sequence[_Row], tokenizer: TextTokenizer) -> None:
    """Encode rows of equal options in one call."""
    texts = [row.owner.call.texts[row.index] for row in rows]
    for row, encoding in zip(rows, tokenizer.encode(texts, rows[0].owner.call.options), strict=True):
        row.encoding = encoding


def cut(rows: Iterable[_Row], budget: int, *, equal_lengths: bool = False) -> Iterator[list[_Row]]:
    """Batches of rows sorted by length, each of `rows × longest ≤ budget` tokens or of a single row."""
    batch: list[_Row] = []
    for row in rows:
        differs = equal_lengths and batch and batch[-1].length != row.length
        if batch and (differs or (len(batch) + 1) * row.length > budget):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def too_long(length: int, limit: int) -> InvalidInput:
    return InvalidInput(
        f"the text has {length} tokens, the model takes {limit}; "
        'shorten it or send "parameters": {"truncation": true}'
    )


def first_line(error: BaseException) -> str:
    """An exception's first line, for messages; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__
