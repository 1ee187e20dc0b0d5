"""Batches rows, not requests.

The rows of every request that Triton handed over are tokenised together, sorted by length and cut into
batches of at most `token_budget` tokens, padding included. Each request is answered as soon as its last row
is done, short rows first, and a row that fails takes only its own request with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from huggingface_backend.errors import InvalidInput, ModelError, RequestError
from huggingface_backend.session import Batch, Session
from huggingface_backend.tasks.base import Call, Task
from huggingface_backend.tokenization import TextTokenizer, TokenizeOptions

DEFAULT_TOKEN_BUDGET = 2048

GIANT = 50_000
"""Characters above which a text is tokenised after everything else of its batch has been answered."""

Done = Callable[[int, object], None]
"""Told the index of a call and its answer, or the RequestError that ended it."""

T = TypeVar("T")


class _Pending:
    """A call on its way: it settles once, with its answer or with the first error of one of its rows."""

    __slots__ = ("_done", "_index", "_left", "_task", "call", "outputs", "settled")

    def __init__(self, index: int, call: Call, task: Task, done: Done) -> None:
        self.call = call
        self.outputs: list[NDArray[Any] | None] = [None] * len(call.texts)
        self.settled = False
        self._index, self._task, self._done = index, task, done
        self._left = len(call.texts)

    def put(self, row: int, output: NDArray[Any]) -> None:
        if self.settled:
            return
        self.outputs[row] = output
        self._left -= 1
        if not self._left:
            self.finish()

    def finish(self) -> None:
        rows = [output for output in self.outputs if output is not None]
        if all(np.isfinite(row).all() for row in rows):
            self._settle(self._task.answer(self.call, rows))
        else:
            self._settle(ModelError("the model's output contains NaN or infinity"))

    def fail(self, error: RequestError) -> None:
        if not self.settled:
            self._settle(error)

    def _settle(self, outcome: object) -> None:
        self.settled = True
        self._done(self._index, outcome)


@dataclass(slots=True)
class _Row:
    owner: _Pending
    index: int
    encoding: Encoding | None = None

    @property
    def characters(self) -> int:
        text = self.owner.call.texts[self.index]
        return len(text.text) + len(text.pair or "")


class Engine:
    """One model: its task, its tokenizer and its session."""

    def __init__(
        self, task: Task, tokenizer: TextTokenizer, session: Session, token_budget: int = DEFAULT_TOKEN_BUDGET
    ) -> None:
        self._task, self._tokenizer, self._session = task, tokenizer, session
        self._budget = token_budget

    def run(self, calls: Sequence[tuple[object, Mapping[str, Any]]], done: Done) -> None:
        """Answer every `(inputs, parameters)`; `done` is called once for each, in no set order."""
        rows: list[_Row] = []
        for index, (inputs, parameters) in enumerate(calls):
            try:
                call = self._task.call(inputs, parameters)
            except RequestError as error:
                done(index, error)
                continue
            pending = _Pending(index, call, self._task, done)
            rows += [_Row(pending, row) for row in range(len(call.texts))]
            if not call.texts:
                pending.finish()
        self._run([row for row in rows if row.characters <= GIANT])
        for row in rows:
            if row.characters > GIANT:
                self._run([row])

    def warm_up(self) -> None:
        """One small run, so that the first request does not pay for the session's first allocations."""
        encodings = self._tokenizer.encode([self._task.call("warm up", {}).texts[0]], TokenizeOptions())
        self._session.run(self._batch(encodings))

    def _run(self, rows: list[_Row]) -> None:
        groups: dict[TokenizeOptions, list[_Row]] = {}
        for row in rows:
            groups.setdefault(row.owner.call.options, []).append(row)
        for group in groups.values():
            self._isolate(group, self._tokenize)
        ready = [row for row in rows if row.encoding is not None and self._fits(row)]
        ready.sort(key=lambda row: len(row.encoding or ()))
        for batch in cut(ready, self._budget, equal_lengths=self._task.manifest.tokenizer.pad_token is None):
            self._isolate(batch, self._infer)

    def _tokenize(self, rows: Sequence[_Row]) -> None:
        """Encode rows of equal options."""
        options = rows[0].owner.call.options
        texts = [row.owner.call.texts[row.index] for row in rows]
        for row, encoding in zip(rows, self._tokenizer.encode(texts, options), strict=True):
            row.encoding = encoding

    def _fits(self, row: _Row) -> bool:
        length, limit = len(row.encoding or ()), self._task.manifest.max_tokens
        if not length:
            row.owner.fail(InvalidInput("a text without any token cannot be answered"))
        elif limit is not None and length > limit:
            row.owner.fail(
                InvalidInput(
                    f"the text has {length} tokens, the model takes {limit}; "
                    'shorten it or send "parameters": {"truncation": true}'
                )
            )
        return not row.owner.settled

    def _infer(self, rows: Sequence[_Row]) -> None:
        rows = [row for row in rows if not row.owner.settled]
        if not rows:
            return
        batch = self._batch([row.encoding for row in rows if row.encoding is not None])
        outputs = self._task.reduce(self._session.run(batch), batch)
        for row, output in zip(rows, outputs, strict=True):
            row.owner.put(row.index, output)

    def _batch(self, encodings: Sequence[Encoding]) -> Batch:
        facts = self._task.manifest.tokenizer
        return Batch.of(encodings, facts.pad_token_id, facts.pad_token_type_id)

    def _isolate(self, rows: Sequence[_Row], step: Callable[[Sequence[_Row]], None]) -> None:
        """Run a step on all rows; where it fails, halve until the one row that fails is alone."""
        try:
            step(rows)
        except RequestError as error:
            for row in rows:
                row.owner.fail(error)
        except Exception as error:  # whatever ONNX Runtime or tokenizers raise belongs to one row
            if len(rows) > 1:
                middle = len(rows) // 2
                self._isolate(rows[:middle], step)
                self._isolate(rows[middle:], step)
            else:
                rows[0].owner.fail(ModelError(f"the model failed on this input: {first_line(error)}"))


def cut(rows: Iterable[_Row], budget: int, *, equal_lengths: bool = False) -> Iterator[list[_Row]]:
    """Batches of rows sorted by length, each of `rows × longest ≤ budget` tokens or of a single row."""
    batch: list[_Row] = []
    for row in rows:
        length = len(row.encoding or ())
        differs = equal_lengths and batch and len(batch[-1].encoding or ()) != length
        if batch and (differs or (len(batch) + 1) * length > budget):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def first_line(error: BaseException) -> str:
    """An exception's first line, for messages; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:500] if lines else type(error).__name__
