"""Triton over HTTP: what a call gets when all is well, and when it is not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from huggingface_backend import wire
from server.errors import BackendFailure
from server.triton.failures import NotReached, TritonDied
from server.triton.messages import Answer, Call
from server.triton.quick import QuickCalls

CALLS = [Call("tea & co", text.encode(), "application/json", "*/*") for text in ("green", "black, and no sugar")]


class Triton:
    """Listens where Triton would, and answers every request with what `respond` makes of its path, header and body."""

    def __init__(self, respond: Callable[[str, dict[str, object], bytes], bytes | None]) -> None:
        self._respond = respond
        self.connections = self.closed = 0

    async def __aenter__(self) -> QuickCalls:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.quick = QuickCalls(self._server.sockets[0].getsockname()[1])
        return self.quick

    async def __aexit__(self, *_: object) -> None:
        self.quick.close()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *headers = head.decode().strip().split("\r\n")
                given = {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}
                body = await reader.readexactly(int(given["content-length"]))
                length = int(given["inference-header-content-length"])
                response = self._respond(line.split()[1], json.loads(body[:length]), body[length:])
                if response is None:
                    break
                writer.write(response)
        except asyncio.IncompleteReadError:
            self.closed += 1
        writer.close()


def response(status: int, body: bytes, header: int | None = None) -> bytes:
    told = "" if header is None else f"Inference-Header-Content-Length: {header}\r\n"
    return f"HTTP/1.1 {status} X\r\n{told}Content-Length: {len(body)}\r\n\r\n".encode() + body


def echo(path: str, header: dict[str, object], rest: bytes) -> bytes:
    """Answers with the bodies, as Triton would order and number them."""
    assert path == "/v2/models/tea%20%26%20co/infer"
    inputs = header["inputs"]
    assert isinstance(inputs, list)
    assert [each["name"] for each in inputs] == list(wire.INPUTS)
    assert [each["shape"] for each in inputs] == [[2, 1]] * len(inputs)
    size = inputs[0]["parameters"]["binary_data_size"]
    assert sum(each["parameters"]["binary_data_size"] for each in inputs) == len(rest)
    parts = dict.fromkeys(wire.OUTPUTS, b"\x00" * 8) | {wire.BODY: rest[:size]}
    outputs = [{"name": name, "parameters": {"binary_data_size": len(part)}} for name, part in parts.items()]
    told = json.dumps({"outputs": outputs}).encode()
    return response(200, told + b"".join(parts.values()), len(told))


def run(triton: Triton, work: Callable[[QuickCalls], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with triton as quick:
            await work(quick)

    asyncio.run(asyncio.wait_for(whole(), 10))


def test_each_call_gets_its_answer_and_connections_are_kept() -> None:
    triton = Triton(echo)

    async def work(quick: QuickCalls) -> None:
        for _ in range(3):
            answers = await quick.infer(CALLS)
            assert [each.body for each in answers if isinstance(each, Answer)] == [call.body for call in CALLS]

    run(triton, work)
    assert triton.connections == 1


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (500, "the stub fell over", BackendFailure),
        (404, "Request for unknown model: 'tea' is not found", NotReached),
        (400, "Request for unknown model: 'tea' has no available versions", NotReached),
        (503, "the queue is gone", TritonDied),
    ],
)
def test_a_failure_is_what_it_is_over_grpc(status: int, message: str, expected: type[Exception]) -> None:
    body = json.dumps({"error": message}).encode()

    async def work(quick: QuickCalls) -> None:
        with pytest.raises(expected, match=message[:12]):
            await quick.infer(CALLS)

    run(Triton(lambda *_: response(status, body)), work)


def test_a_connection_that_ends_is_a_death_and_the_next_call_opens_another() -> None:
    turns = iter([None, echo])

    def respond(path: str, header: dict[str, object], rest: bytes) -> bytes | None:
        turn = next(turns)
        return turn and turn(path, header, rest)

    triton = Triton(respond)

    async def work(quick: QuickCalls) -> None:
        with pytest.raises(TritonDied):
            await quick.infer(CALLS)
        assert len(await quick.infer(CALLS)) == 2

    run(triton, work)
    assert triton.connections == 2


def test_who_gives_up_closes_its_connection() -> None:
    triton = Triton(lambda *_: b"")

    async def work(quick: QuickCalls) -> None:
        call = asyncio.ensure_future(quick.infer(CALLS))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        while not triton.closed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    run(triton, work)


def test_nobody_there_is_not_reached() -> None:
    async def work() -> None:
        with pytest.raises(NotReached, match="no connection"):
            await QuickCalls(1).infer(CALLS)

    asyncio.run(work())
