"""Refusals that are made before a request is one, on real connections."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import uvicorn
import uvloop

from server.front import Front

Talk = Callable[["Site"], Awaitable[None]]


class Site:
    """A server with one application; `full` has its invocations refused."""

    def __init__(self) -> None:
        self.full = False
        self.refused = self.answered = 0
        self.release = asyncio.Event()
        self.release.set()
        self._lines: list[Line] = []
        self._listener = socket.create_server(("127.0.0.1", 0))

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message["body"]
        await self.release.wait()
        self.answered += 1
        said = b"%s %d" % (scope["path"].encode(), len(body))
        headers = [(b"content-length", str(len(said)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    def _admits(self, target: bytes) -> bool:
        return not self.full or target != b"/invocations"

    def _refused(self) -> None:
        self.refused += 1

    async def run(self, talk: Talk, keep_alive: float) -> None:
        front: Any = partial(Front, admits=self._admits, refused=self._refused)
        config = uvicorn.Config(
            self.app,
            http=front,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            timeout_keep_alive=keep_alive,  # type: ignore[arg-type]
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([self._listener]))
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        try:
            async with asyncio.timeout(20):
                await talk(self)
        finally:
            for line in self._lines:
                line.writer.close()
            server.should_exit = True
            await serving

    async def connect(self) -> Line:
        self._lines.append(Line(*await asyncio.open_connection(*self._listener.getsockname())))
        return self._lines[-1]


class Line:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, body: bytes = b"tea", *headers: str, path: str = "/invocations", version: str = "1.1") -> None:
        self.writer.write(self.head(len(body), *headers, path=path, version=version) + body)

    def head(self, length: int, *headers: str, path: str = "/invocations", version: str = "1.1") -> bytes:
        lines = [f"POST {path} HTTP/{version}", "host: here", f"content-length: {length}", *headers, "", ""]
        return "\r\n".join(lines).encode()

    async def read(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers["content-length"]))

    async def closed(self) -> bool:
        return await self.reader.read() == b""


def run(talk: Talk, keep_alive: float = 60) -> None:
    async def main() -> None:
        await Site().run(talk, keep_alive)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_a_refusal_and_what_comes_behind_it() -> None:
    async def talk(site: Site) -> None:
        line = await site.connect()
        for _ in range(3):
            site.full = True
            line.send()
            status, headers, body = await line.read()
            assert (status, headers["retry-after"], headers["content-type"]) == (503, "1", "application/json")
            assert "connection" not in headers
            told = json.loads(body)
            assert (told["code"], told["type"]) == (503, "Unavailable")
            site.full = False
            line.send(b"tea")
            assert (await line.read())[::2] == (200, b"/invocations 3")
        assert (site.refused, site.answered) == (3, 3)

    run(talk)


def test_only_what_is_full_is_refused() -> None:
    async def talk(site: Site) -> None:
        site.full = True
        line = await site.connect()
        line.send(path="/models")
        assert (await line.read())[::2] == (200, b"/models 3")
        line.writer.write(b"GET /invocations HTTP/1.1\r\nhost: here\r\n\r\n")
        assert (await line.read())[0] == 200

    run(talk)


def test_refused_before_the_body_comes() -> None:
    async def talk(site: Site) -> None:
        site.full = True
        line = await site.connect()
        size = 8 * 2**20
        line.writer.write(line.head(size))
        assert (await line.read())[0] == 503
        # The whole body is read past, though there is room again, and then the next request is one.
        site.full = False
        for _ in range(8):
            line.writer.write(bytes(2**20))
            await line.writer.drain()
        line.send(b"tea!")
        assert (await line.read())[::2] == (200, b"/invocations 4")
        assert site.answered == 1

    run(talk)


@pytest.mark.parametrize(("version", "header"), [("1.1", "connection: close"), ("1.0", "x: y")])
def test_who_wants_it_closed_has_it_closed(version: str, header: str) -> None:
    async def talk(site: Site) -> None:
        site.full = True
        line = await site.connect()
        line.writer.write(line.head(6, header, version=version) + b"tea")
        status, headers, _ = await line.read()
        assert (status, headers["connection"]) == (503, "close")
        await asyncio.sleep(0.02)
        assert not line.reader.at_eof()
        line.writer.write(b"tea")
        assert await line.closed()

    run(talk)


def test_who_asks_before_sending_a_body_sends_none() -> None:
    async def talk(site: Site) -> None:
        site.full = True
        line = await site.connect()
        line.writer.write(line.head(5, "expect: 100-continue"))
        status, headers, _ = await line.read()
        assert (status, headers["connection"]) == (503, "close")
        assert await line.closed()

    run(talk)


def test_a_request_behind_one_that_is_not_answered_waits() -> None:
    async def talk(site: Site) -> None:
        line = await site.connect()
        site.release.clear()
        line.send(b"first")
        await asyncio.sleep(0.02)
        site.full = True
        line.send(b"second")
        await asyncio.sleep(0.02)
        site.release.set()
        assert (await line.read())[::2] == (200, b"/invocations 5")
        assert (await line.read())[::2] == (200, b"/invocations 6")
        assert site.refused == 0
        line.send()
        assert (await line.read())[0] == 503

    run(talk)


def test_many_in_one_packet() -> None:
    async def talk(site: Site) -> None:
        site.full = True
        line = await site.connect()
        line.writer.write((line.head(3) + b"tea") * 50)
        assert [(await line.read())[0] for _ in range(50)] == [503] * 50
        assert site.refused == 50

    run(talk)


def test_a_client_that_stays_silent_is_hung_up_on() -> None:
    async def talk(site: Site) -> None:
        site.full = True
        line = await site.connect()
        line.send()
        assert (await line.read())[0] == 503
        assert await line.closed()

    run(talk, keep_alive=0.05)


def test_a_client_that_goes_in_its_body() -> None:
    async def talk(site: Site) -> None:
        site.full = True
        line = await site.connect()
        line.writer.write(line.head(100) + b"tea")
        assert (await line.read())[0] == 503
        line.writer.close()
        await asyncio.sleep(0.05)
        site.full = False
        other = await site.connect()
        other.send()
        assert (await other.read())[0] == 200

    run(talk)
