"""Work for a client ends when the client disconnects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from server import gone
from server.gone import WhileConnected


class Connection:
    """A connection whose body was read, until it is closed."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.watched = False

    async def receive(self) -> dict[str, Any]:
        self.watched = True
        await self.closed.wait()
        return {"type": "http.disconnect"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gone, "WATCH_AFTER", 0.01)


async def work(connection: Connection, seconds: float, ended: list[str]) -> str:
    with WhileConnected(connection.receive):
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
    return "answer"


def test_a_disconnect_cancels_the_block() -> None:
    async def run() -> None:
        connection, ended = Connection(), list[str]()
        task = asyncio.create_task(work(connection, 60, ended))
        await asyncio.sleep(0.05)
        connection.closed.set()
        with pytest.raises(ClientDisconnect):
            await task
        assert ended == ["cancelled"]

    asyncio.run(run())


def test_what_is_answered_soon_is_not_watched() -> None:
    async def run() -> None:
        connection, ended = Connection(), list[str]()
        assert await work(connection, 0, ended) == "answer"
        await asyncio.sleep(0.05)
        assert not connection.watched
        assert not ended

    asyncio.run(run())


def test_the_watch_ends_with_the_block() -> None:
    async def run() -> None:
        connection = Connection()
        assert await work(connection, 0.05, []) == "answer"
        assert connection.watched
        connection.closed.set()
        await asyncio.sleep(0.02)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_another_cancellation_stays_one() -> None:
    async def run() -> None:
        task = asyncio.create_task(work(Connection(), 60, []))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
