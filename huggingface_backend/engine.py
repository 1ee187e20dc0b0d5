"""Batches rows, not requests, continuously.

A request is handed over and waits for nobody. The engine has *lanes*, threads that each run one batch at a time:
whoever is free asks for what runs next (`waves.py`). Batches run beside each other, on a core each, because that makes
more of the cores than one batch on all of them, whose threads wait for each other; a request that is alone in the
engine gets all cores, and the thread that handed it over runs it where that waits anyway. A request is answered as soon
as its last row is done. A row that fails takes only its own request with it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from huggingface_backend.errors import ModelError, RequestError
from huggingface_backend.isolation import isolate
from huggingface_backend.messages import Done, Tell, never
from huggingface_backend.rows import Pending, Row
from huggingface_backend.session import Session
from huggingface_backend.tasks.base import Task
from huggingface_backend.tokenization import TextTokenizer
from huggingface_backend.waves import FEW, GIANT, Waves

logger = logging.getLogger(__name__)

DEFAULT_TOKEN_BUDGET = 512

QUIET = 0.1
"""Seconds after which the next single row, of any length, is taken for one of a client that is alone. Its threads spin,
and under load they would take the cores from the lanes."""


class Engine:
    """One model: its task, its tokenizer, its session, and the threads that run them."""

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

        `when_idle` is called from a thread of the engine when nothing came for a while, and every second while
        something does. A run of the graph has `rows_per_run` rows at most, where that is not 0.
        """
        self._task, self._session = task, session
        self._waves = Waves(
            task,
            session.counters,
            task.budget(token_budget),
            tokenizer=tokenizer,
            rows_per_run=rows_per_run,
            lanes=session.lanes,
            when_idle=when_idle,
        )
        self._batches: deque[list[Row]] = deque()
        self._turn = threading.Lock()
        self._count = threading.Lock()
        self._running = self._rows = 0
        """Batches that run, and their rows."""
        self._crowded = 0.0
        """When a row was last not the only one."""
        self._warm_up()
        self._threads = [
            threading.Thread(target=self._lane, name=f"lane-{number}", daemon=True) for number in range(session.lanes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(
        self,
        inputs: object,
        parameters: Mapping[str, Any],
        done: Done,
        cancelled: Callable[[], bool] = never,
        tell: Tell | None = None,  # noqa: ARG002
        *,
        waits: bool = False,
    ) -> None:
        """Hand over a call; `done` gets its answer or its RequestError, now or later, from this thread or another.

        Once `cancelled` says so, what is left of the call is dropped. A caller that `waits` anyway runs it itself where
        it is one row and nothing else is to do, which saves waking a lane.
        """
        if self._task.encodes and _characters(inputs) > GIANT:
            self._waves.beside(partial(self._take, inputs, parameters, done, cancelled))
        else:
            self._take(inputs, parameters, done, cancelled, waits=waits)

    def _take(
        self,
        inputs: object,
        parameters: Mapping[str, Any],
        done: Done,
        cancelled: Callable[[], bool],
        *,
        waits: bool = False,
    ) -> None:
        try:
            call = self._task.call(inputs, parameters)
        except RequestError as error:
            done(error)
            return
        except Exception:
            logger.exception("unexpected failure in a call")
            done(ModelError("unexpected failure in the server; see its log"))
            return
        pending = Pending(call, self._task, done, cancelled, self._answered)
        if not call.items:
            pending.finish()
        elif not (waits and self._here(pending)):
            self._waves.put(pending)

    def close(self) -> None:
        """End the engine's threads after the batches they are in."""
        self._waves.close()
        for thread in self._threads:
            thread.join()

    def _here(self, pending: Pending) -> bool:
        """Run a call of one row in this thread, if it gets all cores; whether it was."""
        row = pending.lone
        if row is None or not self._waves.at_work.acquire(blocking=False):
            return False
        try:
            if self._running or not self._gets_all(row.size):
                return False
            for batch in self._waves.alone(pending):
                self._work(batch, alone=True)
        finally:
            self._waves.at_work.release()
        self._waves.wake()
        return True

    def _lane(self) -> None:
        while (batch := self._next()) is not None:
            self._work(batch)

    def _work(self, batch: list[Row], *, alone: bool = False) -> None:
        with self._count:
            wide = alone or self._few(batch)
            self._running += 1
            self._rows += len(batch)
        try:
            self._run(batch, wide=wide)
        except Exception:
            logger.exception("unexpected failure in a batch")
            for row in batch:
                row.settle(ModelError("unexpected failure in the server; see its log"))
        finally:
            with self._count:
                self._running -= 1
                self._rows -= len(batch)

    def _next(self) -> list[Row] | None:
        while True:
            try:
                return self._batches.popleft()
            except IndexError:
                pass
            with self._turn:
                if self._batches:
                    continue
                batches = self._waves.next(self._free)
                if batches is None:
                    return None
                if self._alone(batches):
                    # Within the turn: another lane that woke to wait in this one's place would take a core from it.
                    self._work(batches[0], alone=True)
                    continue
                self._batches.extend(batches)

    def _alone(self, batches: list[list[Row]]) -> bool:
        """Whether a batch gets all cores and the others wait: it is small, or a single row as those of the last moments
        were."""
        if self._running or len(batches) > 1:
            self._crowded = time.monotonic()
            return False
        [batch] = batches
        if len(batch) > 1:
            self._crowded = time.monotonic()
        return self._gets_all(sum(row.length for row in batch))

    def _gets_all(self, tokens: int) -> bool:
        """Whether all cores are for the only batch, of so many tokens."""
        small = self._session.spreads and tokens <= FEW
        return small or time.monotonic() - self._crowded > QUIET

    def _few(self, batch: list[Row]) -> bool:
        """Whether half the lanes have nothing to do."""
        lanes = self._session.lanes
        return lanes > 2 and not self._batches and self._rows + len(batch) <= lanes // 2

    def _free(self) -> int:
        return self._session.lanes - self._running

    def _run(self, batch: list[Row], *, wide: bool) -> None:
        isolate(batch, partial(self._infer, wide=wide), self._task)

    def _infer(self, rows: Sequence[Row], *, wide: bool) -> None:
        rows = [row for row in rows if row.wanted]
        if not rows:
            return
        # A run on all cores has threads of its own; it is the only one, mostly, and their time is the process's.
        clock = time.process_time if wide else time.thread_time
        started, used = time.monotonic(), clock()
        batch = self._task.batch([row.ready for row in rows])
        results = self._task.reduce(self._session.run(batch, wide=wide), batch)
        took = time.monotonic() - started
        self._session.counters.inferred(clock() - used)
        for row, result in zip(rows, results, strict=True):
            row.ready = None
            for owner in row.owners:
                owner.inferred = took
            row.put(result)

    def _answered(self, pending: Pending, encoding: float) -> None:
        self._session.counters.answered(time.monotonic() - pending.since, pending.tokenised, pending.inferred, encoding)

    def _warm_up(self) -> None:
        """Small runs, so that the first request does not pay for the sessions' first allocations."""
        for wide in (True, False):
            pending = Pending(self._task.example(), self._task, lambda _outcome: None, never)
            for batch in self._waves.alone(pending):
                self._run(batch, wide=wide)


def _characters(value: object) -> int:
    """Characters of all texts in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list | tuple) else 0
