"""Calls on their way through the engine, and the rows they are made of."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Encoding

from huggingface_backend.batches import Pixels, shape
from huggingface_backend.errors import ModelError, RequestError
from huggingface_backend.messages import Done
from huggingface_backend.tasks.base import Call, Task
from huggingface_backend.tokenization import Text, TextTokenizer

SLACK = 32
"""Tokens of padding in a batch that cost no more than another run of the graph would."""
WASTE = 0.25
"""Padding in a batch, as a share of the tokens that were asked for: short texts are not made as long as a long one."""

logger = logging.getLogger(__name__)


class Pending:
    """A call on its way: it settles once, with its answer or with the first error of one of its rows.

    Rows of a call may end in several threads at once.
    """

    def __init__(
        self,
        call: Call,
        task: Task,
        done: Done,
        cancelled: Callable[[], bool],
        told: Callable[[Pending, float], None] = lambda _pending, _encoded: None,
    ) -> None:
        """`told` is called after the answer was delivered, with the seconds that making it of the rows took."""
        self.call = call
        self.cancelled = cancelled
        self.settled = False
        self.since = time.monotonic()
        self.waves = 0
        """Waves it took part in."""
        self.tokenised = self.inferred = 0.0
        """Seconds that the encoding and the run of its last row took, which it shared with others."""
        self._task, self._done, self._told = task, done, told
        self._outputs: list[Any] = [None] * len(call.items)
        self._left = len(call.items)
        self._lock = threading.Lock()
        self._waiting = iter([Row(self, index, _ready(item)) for index, item in enumerate(call.items)])
        self._next: Row | None = next(self._waiting, None)

    @property
    def exhausted(self) -> bool:
        """Every row is in a wave or done, or the call is settled."""
        return self._next is None or self.settled

    @property
    def lone(self) -> Row | None:
        """Its row, where it has no other and no wave has taken it."""
        return self._next if len(self._outputs) == 1 else None

    def take(self, budget: int) -> Iterator[Row]:
        """Rows for a wave: about `budget` tokens of them, and one at least."""
        while self._next is not None and not self.settled:
            row = self._next
            self._next = next(self._waiting, None)
            yield row
            budget -= row.size
            if self._next is None or budget < self._next.size:
                return

    def put(self, index: int, output: Any) -> None:
        """Take a row's result, an array or a tuple with arrays in it."""
        if self.settled:
            return
        if not _finite(output):
            self.settle(ModelError("the model's output contains NaN or infinity"))
            return
        kept = self._task.keep(self.call, output)
        with self._lock:
            self._outputs[index] = kept
            self._left -= 1
            last = not self._left
        if last:
            self.finish()

    def finish(self) -> None:
        """Answer from the rows' outputs."""
        answer: object
        started = time.thread_time()
        try:
            answer = self._task.answer(self.call, self._outputs)
        except RequestError as error:
            answer = error
        except Exception:
            logger.exception("unexpected failure in an answer")
            answer = ModelError("unexpected failure in the server; see its log")
        self.settle(answer)
        self._told(self, time.thread_time() - started)

    def settle(self, outcome: object) -> None:
        """Answer or fail; only the first time counts."""
        with self._lock:
            if self.settled:
                return
            self.settled = True
        try:
            self._done(outcome)
        except Exception:
            logger.exception("an answer could not be delivered")


@dataclass(slots=True, eq=False)
class Row:
    owner: Pending
    index: int
    ready: Encoding | Pixels | None = None
    """What the graph is fed, once there is it."""
    twins: list[Row] | None = None
    """Rows of the same wave with the same text, which get this one's result."""

    @property
    def text(self) -> Text:
        """What a row that is not ready is made of."""
        item = self.owner.call.items[self.index]
        assert isinstance(item, Text)  # noqa: S101
        return item

    @property
    def characters(self) -> int:
        return len(self.text.text) + len(self.text.pair or "")

    @property
    def size(self) -> int:
        """Tokens: known once it is encoded, else about a quarter of the characters."""
        return self.length or self.characters // 4 + 2

    @property
    def length(self) -> int:
        return 0 if self.ready is None else len(self.ready)

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for its result."""
        return not self.owner.settled or any(twin.wanted for twin in self.twins or ())

    @property
    def owners(self) -> Iterator[Pending]:
        """Its call's, and its twins'."""
        yield self.owner
        for twin in self.twins or ():
            yield twin.owner

    def put(self, result: Any) -> None:
        self.owner.put(self.index, result)
        for twin in self.twins or ():
            twin.put(result)

    def settle(self, error: RequestError) -> None:
        for owner in self.owners:
            owner.settle(error)


def once(rows: Iterable[Row]) -> list[Row]:
    """Rows of equal options without those whose text another one has: these become its twins."""
    first: dict[Text, Row] = {}
    for row in rows:
        other = first.setdefault(row.text, row)
        if other is not row:
            other.twins = [*(other.twins or ()), row]
    return list(first.values())


def encode(rows: Sequence[Row], tokenizer: TextTokenizer, *, offsets: bool) -> None:
    """Encode rows of equal options in one call."""
    started = time.monotonic()
    texts = [row.text for row in rows]
    for row, encoding in zip(rows, tokenizer.encode(texts, rows[0].owner.call.options, offsets=offsets), strict=True):
        row.ready = encoding
    took = time.monotonic() - started
    for row in rows:
        for owner in row.owners:
            owner.tokenised = took


def cut(
    rows: Sequence[Row], budget: int, *, parts: int = 1, equal_shapes: bool = False, most: int = 0
) -> list[list[Row]]:
    """Batches of rows sorted by length, each of `rows × longest ≤ budget` tokens or of a single row.

    As many batches as the budget makes, and `parts` where there are rows for them, of about the same number of tokens.
    `most` bounds the rows of a batch where it is not 0.
    """
    total = sum(row.length for row in rows)
    wanted = max(parts, math.ceil(total / budget))
    share = min(budget, math.ceil(total / wanted))
    while True:
        batches = list(_filled(rows, share, equal_shapes, most))
        if len(batches) <= wanted or share >= budget:
            return batches
        share = min(budget, share + share // 8 + 1)


def _filled(rows: Iterable[Row], budget: int, equal_shapes: bool, most: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    asked = 0
    for row in rows:
        size = (len(batch) + 1) * row.length
        differs = equal_shapes and batch and shape(batch[-1].ready) != shape(row.ready)
        full = len(batch) == most or size > budget
        wasteful = size - asked - row.length > max(SLACK, WASTE * (asked + row.length))
        if batch and (differs or full or wasteful):
            yield batch
            batch, asked = [], 0
        batch.append(row)
        asked += row.length
    if batch:
        yield batch


def _ready(item: object) -> Encoding | Pixels | None:
    return item if isinstance(item, Encoding | Pixels) else None


def _finite(output: Any) -> bool:
    parts = output if isinstance(output, tuple) else (output,)
    return all(np.isfinite(part).all() for part in parts if isinstance(part, np.ndarray))
