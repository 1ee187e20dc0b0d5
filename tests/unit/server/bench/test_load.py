"""The load generator, against small real servers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter

import pytest

from server.bench.connection import Shot, told
from server.bench.load import closed_loop, open_loop
from server.bench.outcome import Load, percentile
from tests.unit.server.bench.serving import answering, response

SHOTS = [Shot(b"a"), Shot(b"b"), Shot(b"c")]


def test_clients_wait_for_their_answers() -> None:
    at_once = most = 0

    async def answer(body: bytes) -> bytes:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1
        return response(200, body)

    with answering(answer) as port:
        load = closed_loop(port, SHOTS, 4, 0.5, warm_up=0.1)
    assert most == 4
    assert load.errors == 0 and load.statuses == Counter({200: load.answered})
    assert load.seconds == pytest.approx(0.5, abs=0.2)
    # Four clients, 50 requests a second each at most; a busy machine makes it fewer.
    assert 20 < load.rate < 201
    assert min(load.latencies) >= 0.019
    assert load.responses > load.answered


def test_every_request_is_sent_in_turn() -> None:
    seen: Counter[bytes] = Counter()

    async def answer(body: bytes) -> bytes:
        seen[body] += 1
        return response(200, body)

    with answering(answer) as port:
        closed_loop(port, SHOTS, 1, 0.2)
    assert seen.keys() == {b"a", b"b", b"c"} and max(seen.values()) - min(seen.values()) <= 1


def test_a_load_too_short_for_an_answer_waits_for_one_a_client() -> None:
    async def answer(body: bytes) -> bytes:
        await asyncio.sleep(0.4)
        return response(200, body)

    with answering(answer) as port:
        load = closed_loop(port, SHOTS, 3, 0.05)
    assert load.answered == 3 and load.seconds >= 0.39


def test_chunked_answers_and_closed_connections() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"

    async def answer(body: bytes) -> bytes:
        return chunked if body == b"a" else response(200, b"abc", "connection: close")

    def check(shot: Shot, status: int, content_type: str, body: bytes) -> str | None:
        return None if (status, body) == (200, b"abc") else f"{status} {body!r}"

    with answering(answer) as port:
        load = closed_loop(port, SHOTS, 2, 0.3, check=check)
    assert load.answered > 5 and not load.problems


def test_wrong_answers_are_told_and_not_counted() -> None:
    async def answer(body: bytes) -> bytes:
        return response(200, b"x" if body == b"b" else body, "content-type: text/plain")

    def check(shot: Shot, status: int, content_type: str, body: bytes) -> str | None:
        assert content_type == "text/plain"
        return None if body == shot.body else f"{body!r} for {shot.body!r}"

    with answering(answer) as port:
        load = closed_loop(port, SHOTS, 1, 0.2, check=check)
    assert set(load.problems) == {"b'x' for b'b'"}
    assert abs(load.answered - 2 * load.errors) <= 2


def test_refusals_and_errors_are_apart() -> None:
    async def answer(body: bytes) -> bytes:
        if body == b"a":
            return response(503, b"", "Retry-After: 1")
        return response(422, b'{"message": "no\\ntext"}') if body == b"b" else response(200, body)

    with answering(answer) as port:
        load = closed_loop(port, SHOTS, 3, 0.5)
    assert load.statuses.keys() == {200, 422, 503}
    assert len(load.refusals) == load.retry_after == load.statuses[503]
    assert load.problems == Counter({"422: no text": load.statuses[422]})
    assert load.figures()["rejected"] == load.statuses[503] and load.figures()["errors"] == load.statuses[422]


def test_a_connection_that_closes_is_an_error_and_is_opened_again() -> None:
    async def answer(body: bytes) -> bytes:
        return b"" if body == b"a" else response(200, body)

    with answering(answer) as port:
        load = closed_loop(port, SHOTS, 1, 0.5)
    assert set(load.problems) == {"the connection was closed before the answer"}
    assert load.answered >= 2


def test_what_is_never_answered_is_an_error() -> None:
    async def answer(body: bytes) -> bytes:
        await asyncio.sleep(60)
        return b""

    with answering(answer) as port:
        began = time.monotonic()
        load = closed_loop(port, SHOTS, 2, 0.1, patience=0.3)
    assert time.monotonic() - began < 5
    assert load.answered == 0 and load.errors == 2
    assert load.figures()["p99_ms"] is None and load.figures()["percentiles"] == []


def test_arrivals_do_not_wait_for_answers() -> None:
    async def answer(body: bytes) -> bytes:
        await asyncio.sleep(0.2)
        return response(200, body)

    with answering(answer) as port:
        load = open_loop(port, SHOTS, 200, 1.0, warm_up=0.3, connections=100)
    # One connection at a time would give 5 a second.
    assert 130 < load.rate < 270
    assert len(load.lateness) == len(load.latencies) == pytest.approx(200, abs=60)
    assert min(load.latencies) >= 0.199


def test_latency_runs_from_when_a_request_was_due() -> None:
    stand_still = time.monotonic() + 0.8

    async def answer(body: bytes) -> bytes:
        await asyncio.sleep(max(0.0, stand_still - time.monotonic()))
        return response(200, body)

    with answering(answer) as port:
        load = open_loop(port, SHOTS, 100, 1.0, connections=1)
    # About one in two was due while nothing was answered; with one connection a closed loop would have seen one.
    assert sum(took > 0.2 for took in load.latencies) > 20
    assert load.errors == 0


def test_arrivals_without_a_connection_are_errors_at_the_end() -> None:
    async def answer(body: bytes) -> bytes:
        await asyncio.sleep(0.3)
        return response(200, body)

    with answering(answer) as port:
        load = open_loop(port, SHOTS, 50, 0.5, connections=1, patience=0.2)
    assert load.problems["no connection became free for it"] > 5


def test_the_same_seed_sends_the_same() -> None:
    async def answer(body: bytes) -> bytes:
        return response(200, body)

    with answering(answer) as port:
        counts = [open_loop(port, SHOTS, 300, 0.5, seed=7).responses for _ in range(2)]
    assert counts[0] == counts[1] > 50


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(OSError, match="refused"):
        closed_loop(port, SHOTS, 1, 0.1)


def test_percentiles_lie_between_values() -> None:
    assert percentile([], 50) is None
    assert [percentile([1.0, 2.0, 4.0], p) for p in (0, 25, 50, 75, 100)] == [1.0, 1.5, 2.0, 3.0, 4.0]
    figures = Load(2.0, 3, [0.003, 0.001, 0.002]).figures()
    assert (figures["rate"], figures["p50_ms"], figures["percentiles"][0]) == (1.5, 2.0, [0.0, 1.0])


def test_an_error_is_told_in_one_line() -> None:
    assert told(b'{"message": "a\\n b"}') == "a b"
    assert told(b"<html>\n") == "<html>"
    assert told(b"") == "nothing"
