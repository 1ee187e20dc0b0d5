"""Calls on their way through the engine, and the rows they are made of."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from huggingface_backend.errors import ModelError, RequestError
from huggingface_backend.messages import Done
from huggingface_backend.tasks.base import Call, Task
from huggingface_backend.tokenization import TextTokenizer

logger = logging.getLogger(__name__)


class Pending:
    """A call on its way: it settles once, with its answer or with the first error of one of its rows."""

    def __init__(self, call: Call, task: Task, done: Done, cancelled: Callable[[], bool]) -> None:
        self.call = call
        self.cancelled = cancelled
        self.settled = False
        self.since = time.monotonic()
        self.waves = 0
        """Waves it took part in."""
        self._task, self._done = task, done
        self._outputs: list[NDArray[Any] | None] = [None] * len(call.texts)
        self._left = len(call.texts)
        self._waiting = iter([Row(self, index) for index in range(len(call.texts))])
        self._next: Row | None = next(self._waiting, None)

    @property
    def exhausted(self) -> bool:
        """Every row is in a wave or done, or the call is settled."""
        return self._next is None or self.settled

    def take(self, budget: int) -> Iterator[Row]:
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
class Row:
    owner: Pending
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


def encode(rows: Sequence[Row], tokenizer: TextTokenizer) -> None:
    """Encode rows of equal options in one call."""
    texts = [row.owner.call.texts[row.index] for row in rows]
    for row, encoding in zip(rows, tokenizer.encode(texts, rows[0].owner.call.options), strict=True):
        row.encoding = encoding


def cut(rows: Iterable[Row], budget: int, *, equal_lengths: bool = False) -> Iterator[list[Row]]:
    """Batches of rows sorted by length, each of `rows × longest ≤ budget` tokens or of a single row."""
    batch: list[Row] = []
    for row in rows:
        differs = equal_lengths and batch and batch[-1].length != row.length
        if batch and (differs or (len(batch) + 1) * row.length > budget):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
