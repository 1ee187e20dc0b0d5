"""Loads an HTTP endpoint from one thread: clients that wait for their answers, or arrivals that wait for nobody.

Only what comes after the warm-up counts. Latencies of arrivals run from the moment they were due, so that a server
which stands still is charged for all that it kept waiting.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import uvloop

from server.bench.connection import Connection, Shot, Target, told
from server.bench.outcome import Load
from server.bench.timer import Timer

REFUSED = 503
BACKOFF = 0.05
"""Seconds that a client waits after a refusal, a failure of the server or a lost connection."""
PATIENCE, OPEN_PATIENCE = 60.0, 10.0
"""Seconds that answers may take after the end of the load."""
CONNECTIONS = 256
"""Of an open loop."""

Check = Callable[[Shot, int, str, bytes], str | None]
"""What is wrong with an answer (shot, status, content type, body); None where nothing is."""


def closed_loop(
    target: Target | int,
    shots: Sequence[Shot],
    clients: int,
    seconds: float,
    *,
    warm_up: float = 0.0,
    check: Check | None = None,
    patience: float = PATIENCE,
) -> Load:
    """Let clients ask for some seconds, each its next request when the last one is answered.

    A number is a port of this machine. The time is longer where it is too short for an answer a client. OSError where
    no connection can be made.
    """
    return _run(_Closed(target, shots, check, patience).run(clients, seconds, warm_up))


def open_loop(
    target: Target | int,
    shots: Sequence[Shot],
    rate: float,
    seconds: float,
    *,
    warm_up: float = 0.0,
    check: Check | None = None,
    patience: float = OPEN_PATIENCE,
    connections: int = CONNECTIONS,
    seed: int = 0,
) -> Load:
    """Send requests at random moments, `rate` a second on average, whether earlier ones are answered or not.

    What finds no connection free waits for one, and its latency grows by that. OSError where no connection can be made.
    """
    return _run(_Open(target, shots, check, patience, seed).run(rate, seconds, warm_up, connections))


def _run(work: Coroutine[Any, Any, Load]) -> Load:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


class _Loop:
    """What both loops have: connections, the time that counts, and the account of it."""

    def __init__(self, target: Target | int, shots: Sequence[Shot], check: Check | None, patience: float) -> None:
        self._target = Target(target) if isinstance(target, int) else target
        self._shots, self._check, self._patience = shots, check, patience
        self._encoded = [shot.encoded(self._target.host) for shot in shots]
        self._tls = self._target.context()
        self._connections: set[Connection] = set()
        self._opening: set[asyncio.Task[None]] = set()
        self._next = 0
        self._begin = self._end = 0.0
        self._over = False
        """Whether the time that counts has passed."""
        self._idle = asyncio.Event()
        """Set when it has, and nothing is under way any more."""
        self._load = Load()

    def _answered(self, connection: Connection) -> None:
        """A response has come."""
        raise NotImplementedError

    def _use(self, connection: Connection) -> None:
        """A connection is free."""
        raise NotImplementedError

    def _counts(self, connection: Connection, now: float) -> bool:
        """Whether an answer belongs to the time that counts."""
        raise NotImplementedError

    @property
    def _done(self) -> bool:
        """Whether nothing will be sent any more."""
        return self._over

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(self._answered, self._lost), self._target.host, self._target.port, ssl=self._tls
        )
        self._connections.add(connection)
        return connection

    def _fire(self, connection: Connection, began: float) -> None:
        shot, self._next = self._next, (self._next + 1) % len(self._shots)
        connection.send(self._encoded[shot], shot, began)

    def _account(self, connection: Connection, now: float) -> bool:
        """Put an answer on the account; whether its client may go on at once."""
        load, status, counts = self._load, connection.status, self._counts(connection, now)
        load.responses += 1
        load.statuses[status] += counts
        if status == REFUSED:
            if counts:
                load.refusals.append(now - connection.began)
                load.retry_after += connection.retry_after
            return False
        problem = self._problem(connection)
        if problem is not None:
            load.problems[problem] += counts
            return status < 500
        if counts:
            load.latencies.append(now - connection.began)
        load.answered += self._begin <= now <= self._end
        return True

    def _problem(self, connection: Connection) -> str | None:
        body = b"".join(connection.parts)
        if self._check is not None:
            return self._check(self._shots[connection.shot], connection.status, connection.content_type, body)
        if 200 <= connection.status < 300:
            return None
        return f"{connection.status}: {told(body)}"

    def _lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection.busy:
            self._load.problems["the connection was closed before the answer"] += 1
        if not self._done:
            task = asyncio.create_task(self._replace(failed=connection.busy))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        self._settle()

    async def _replace(self, *, failed: bool) -> None:
        """Open another connection in place of one that closed, and go on with it."""
        while not self._done:
            if failed:
                await asyncio.sleep(BACKOFF)
            try:
                connection = await self._open()
            except OSError as error:
                self._load.problems[f"no connection: {error.strerror or error}"] += 1
                failed = True
            else:
                self._use(connection)
                return

    def _settle(self) -> None:
        if self._done and not any(connection.busy for connection in self._connections):
            self._idle.set()

    async def _finish(self) -> Load:
        """Wait for what is under way, and hang up."""
        self._settle()
        try:
            async with asyncio.timeout(self._patience):
                await self._idle.wait()
        except TimeoutError:
            late = sum(connection.busy for connection in self._connections)
            self._load.problems[f"no answer {self._patience:g} s after the end"] += late
        for task in self._opening:
            task.cancel()
        for connection in self._connections:
            connection.close()
        return self._load


class _Closed(_Loop):
    """Each connection is a client."""

    async def run(self, clients: int, seconds: float, warm_up: float) -> Load:
        connections = [await self._open() for _ in range(clients)]
        self._clients, self._end = clients, float("inf")
        self._begin = time.perf_counter() + warm_up
        self._until = self._begin + seconds
        loop = asyncio.get_running_loop()
        loop.call_later(warm_up + seconds + self._patience, self._stop)
        for connection in connections:
            self._use(connection)
        # Never before its time, though every client may be lost.
        await asyncio.sleep(warm_up + seconds)
        while not self._over:
            if self._load.statuses.total() + self._load.errors >= clients:
                self._stop()
            else:
                await asyncio.sleep(BACKOFF)
        return await self._finish()

    def _counts(self, connection: Connection, now: float) -> bool:  # noqa: ARG002
        return self._begin <= now <= self._end

    def _use(self, connection: Connection) -> None:
        if not (self._over or connection.closing):
            self._fire(connection, time.perf_counter())

    def _answered(self, connection: Connection) -> None:
        now = time.perf_counter()
        at_once = self._account(connection, now)
        if self._over:
            self._settle()
        elif at_once:
            self._use(connection)
        else:
            asyncio.get_running_loop().call_later(BACKOFF, self._use, connection)

    def _stop(self) -> None:
        if not self._over:
            self._over, self._end = True, time.perf_counter()
            self._load.seconds = self._end - self._begin


class _Open(_Loop):
    """Arrivals take any connection that is free."""

    def __init__(
        self, target: Target | int, shots: Sequence[Shot], check: Check | None, patience: float, seed: int
    ) -> None:
        super().__init__(target, shots, check, patience)
        self._chance = random.Random(seed)  # noqa: S311
        self._free: list[Connection] = []
        self._waiting: deque[float] = deque()
        """When each was due that has no connection yet."""

    async def run(self, rate: float, seconds: float, warm_up: float, connections: int) -> Load:
        self._free = [await self._open() for _ in range(connections)]
        now = time.perf_counter()
        self._rate, self._due = rate, now + self._chance.expovariate(rate)
        self._begin, self._end = now + warm_up, now + warm_up + seconds
        self._load.seconds = seconds
        self._timer = Timer(asyncio.get_running_loop(), self._arrive)
        try:
            self._arrive()
            await asyncio.sleep(self._end - now)
        finally:
            self._timer.close()
        self._over = True
        await self._finish()
        if self._waiting:
            self._load.problems["no connection became free for it"] += len(self._waiting)
        return self._load

    @property
    def _done(self) -> bool:
        return self._over and not self._waiting

    def _counts(self, connection: Connection, now: float) -> bool:  # noqa: ARG002
        return connection.began >= self._begin

    def _arrive(self) -> None:
        """Send what is due."""
        while self._due <= min(time.perf_counter(), self._end):
            self._waiting.append(self._due)
            self._due += self._chance.expovariate(self._rate)
        while self._waiting and self._free:
            self._use(self._free.pop())
        self._timer.set(self._due)

    def _use(self, connection: Connection) -> None:
        if connection.closing:
            return
        if self._waiting:
            due = self._waiting.popleft()
            if due >= self._begin:
                self._load.lateness.append(time.perf_counter() - due)
            self._fire(connection, due)
        else:
            self._free.append(connection)

    def _answered(self, connection: Connection) -> None:
        self._account(connection, time.perf_counter())
        self._use(connection)
        self._settle()
