"""What runs next: waves of rows from every call that waits, tokenised, sorted by length and cut into batches.

No call puts more than one budget of tokens into a wave, so that a list of ten thousand texts and a single short one
share the model, and what arrives meanwhile joins the next wave.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from huggingface_backend.batches import shape
from huggingface_backend.errors import InvalidInput, ModelError, RequestError
from huggingface_backend.isolation import isolate, too_long
from huggingface_backend.rows import Pending, Row, cut, encode, once
from huggingface_backend.session import Counters
from huggingface_backend.tasks.base import Task
from huggingface_backend.tokenization import TextTokenizer, TokenizeOptions

logger = logging.getLogger(__name__)

GIANT = 50_000
"""Characters above which a text is tokenised beside the waves, by a thread of its own: megabytes take seconds."""

WAVE = 4
"""Token budgets in one wave: what arrives meanwhile waits for no more than that."""

FEW = 64
"""Tokens that are not spread over lanes where nothing else runs: on all cores together they are done sooner."""

PATIENCE = 0.5
"""Seconds after which a waiting call is asked, once a wave, whether its client has gone."""

IDLE = 0.1
"""Seconds without work after which counters are reported."""
BUSY = 1.0
"""Seconds between two reports under load."""


class _Wake:
    """No work, but wakes the lane that waits for some."""


class Waves:
    """Calls in, batches out. One thread at a time asks for batches; any may put calls."""

    def __init__(
        self,
        task: Task,
        counters: Counters,
        budget: int,
        *,
        tokenizer: Callable[[], TextTokenizer] | None,
        rows_per_run: int,
        lanes: int,
        when_idle: Callable[[], None],
    ) -> None:
        self._task, self._counters, self._budget, self._rows = task, counters, budget, rows_per_run
        self._size = max(WAVE, lanes) * budget
        self._lanes = lanes
        self._make_tokenizer = tokenizer
        self._giants = ThreadPoolExecutor(1, "giants")
        self._giants_tokenizer: TextTokenizer | None = None
        self._when_idle = when_idle
        self._told = time.monotonic()
        self._inbox: queue.SimpleQueue[Pending | Row | _Wake | None] = queue.SimpleQueue()
        self.at_work = threading.Lock()
        """Held by the lanes, but while the one whose turn it is waits for calls: who has one may do it then."""
        self.at_work.acquire()
        self._asleep = False
        self._active: list[Pending] = []
        self._encoded: list[Row] = []

    def put(self, pending: Pending) -> None:
        """A call with at least one row."""
        self._inbox.put(pending)

    def close(self) -> None:
        """Let `next` return None, now and for ever."""
        self._inbox.put(None)
        self._giants.shutdown(wait=False, cancel_futures=True)

    def beside(self, work: Callable[[], None]) -> None:
        """Do what may take seconds in the thread of giant texts."""
        self._giants.submit(work)

    def next(self, free: Callable[[], int]) -> list[list[Row]] | None:
        """Batches, at least one for each of the lanes that are `free` where there are rows for them; None at the end.

        Waits for calls where there are none.
        """
        while self._receive(free):
            rows, self._encoded = [*self._encoded, *self._take()], []
            try:
                batches = self._batches(rows, free())
            except Exception:
                logger.exception("unexpected failure in a wave")
                for row in rows:
                    row.settle(ModelError("unexpected failure in the server; see its log"))
                batches = []
            if time.monotonic() - self._told > BUSY:
                self._tell()
            if batches:
                return batches
        self._inbox.put(None)
        return None

    def alone(self, pending: Pending) -> list[list[Row]]:
        """Batches of one call, beside all others."""
        return self._batches(list(pending.take(self._budget)), 1)

    def _take(self) -> list[Row]:
        rows: list[Row] = []
        left = self._size
        # The oldest call goes on in every wave; behind it, who had fewer waves comes first.
        for pending in [*self._active[:1], *sorted(self._active[1:], key=lambda pending: pending.waves)]:
            if left <= 0:
                break
            # Asking costs a message to tritonserver, so only calls that take their time are asked.
            if time.monotonic() - pending.since > PATIENCE and pending.cancelled():
                pending.settle(RequestError("cancelled by the client", 499))
            taken = list(pending.take(self._budget))
            pending.waves += 1
            left -= sum(row.size for row in taken)
            rows += taken
        self._active = [pending for pending in self._active if not pending.exhausted]
        return rows

    def _receive(self, free: Callable[[], int]) -> bool:
        """Take what came in, waiting for something if there is nothing to do; False at the end."""
        try:
            item = self._inbox.get_nowait() if self._active or self._encoded else self._wait(free)
            while item is not None:
                if isinstance(item, Row):
                    self._encoded.append(item)
                elif isinstance(item, Pending):
                    self._active.append(item)
                item = self._inbox.get_nowait()
        except queue.Empty:
            return True
        return False

    def _wait(self, free: Callable[[], int]) -> Pending | Row | _Wake | None:
        """What comes next."""
        self.at_work.release()
        try:
            while True:
                runs = self._counters.runs
                try:
                    return self._inbox.get(timeout=IDLE)
                except queue.Empty:
                    self._asleep = True
                    busy = free() < self._lanes or self._counters.runs > runs
                    self._tell()
                    if not busy:
                        return self._inbox.get()
                    # What runs now will have to be reported too.
                    self._asleep = False
        finally:
            self._asleep = False
            self.at_work.acquire()

    def wake(self) -> None:
        """Have reported what ran without the lanes."""
        if self._asleep:
            self._inbox.put(_Wake())

    def _tell(self) -> None:
        self._told = time.monotonic()
        self._when_idle()

    def _batches(self, rows: list[Row], parts: int) -> list[list[Row]]:
        started = time.thread_time()
        groups: dict[TokenizeOptions, list[Row]] = {}
        ready: list[Row] = []
        for row in rows:
            if row.ready is not None:
                ready.append(row)
            elif row.characters > GIANT:
                self._giants.submit(self._encode_giant, row)
            else:
                groups.setdefault(row.owner.call.options, []).append(row)
        for group in groups.values():
            singles = once(group)
            isolate(singles, lambda rows: encode(rows, self._task.tokenizer, offsets=self._task.offsets), self._task)
            ready += [row for row in singles if row.ready is not None]
        ready = [row for row in ready if self._fits(row)]
        ready.sort(key=lambda row: (row.length, shape(row.ready)))
        if parts == self._lanes and sum(row.length for row in ready) <= FEW:
            parts = 1
        alike = self._task.manifest.tokenizer.pad_token is None
        batches = cut(ready, self._budget, parts=parts, equal_shapes=alike, most=self._rows) if ready else []
        self._counters.tokenised(time.thread_time() - started)
        return batches

    def _encode_giant(self, row: Row) -> None:
        if self._giants_tokenizer is None:
            self._giants_tokenizer = self._make_tokenizer() if self._make_tokenizer else self._task.tokenizer
        tokenizer = self._giants_tokenizer
        isolate([row], lambda rows: encode(rows, tokenizer, offsets=self._task.offsets), self._task)
        if row.ready is not None:
            self._inbox.put(row)

    def _fits(self, row: Row) -> bool:
        limit = self._task.manifest.max_tokens
        if not row.length:
            row.settle(InvalidInput("a text without any token cannot be answered"))
        elif limit is not None and row.length > limit:
            row.settle(too_long(row.length, limit, self._task.cutting))
        return row.wanted
