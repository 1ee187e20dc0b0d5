"""More requests than there is room for: some are answered, the others told so at once, and nothing is left of it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from converters.convert import Artifact
from converters.entry import place
from huggingface_backend import wire
from server.bench.connection import Shot
from server.bench.load import open_loop
from tests.models import texts
from tests.serving import Server

ROOM = 1 + wire.MAX_BATCH_SIZE
"""Requests that a model takes with --queue-size 1."""

HOLDS = """
import json, time
from pathlib import Path

def model_fn(model_dir):
    return None

def transform_fn(model, body, content_type, accept):
    until = json.loads(body).get("until")
    while until and not Path(until).exists():
        time.sleep(0.01)
    return "answered", "text/plain"
"""


@pytest.fixture
def server(
    start: Callable[..., Server], convert: Callable[..., Artifact], built: Callable[..., Path], tmp_path: Path
) -> Server:
    """With `held`, which answers when it is allowed to, and `classifier`."""
    script = tmp_path / "script" / "code" / "inference.py"
    script.parent.mkdir(parents=True)
    script.write_text(HOLDS)
    models = tmp_path / "models"
    place(convert(tmp_path / "script").path, models, "held")
    place(convert(built("bert", num_labels=3)).path, models, "classifier")
    return start("--repository", str(models), "--queue-size", "1", "--instances", "1").wait()


def refused(server: Server) -> float:
    return sum(
        float(line.split()[-1])
        for line in server.client.get("/metrics").text.splitlines()
        if re.match(r'triton_hf_requests_total\{status="503"\}', line)
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def test_a_model_without_room(server: Server, tmp_path: Path) -> None:
    go = tmp_path / "go"
    held = {"until": str(go)}

    async def run() -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
            waiting = [asyncio.create_task(client.post("/models/held/invoke", json=held)) for _ in range(ROOM)]
            await until(lambda: server.metric("triton_hf_in_flight") == ROOM)
            before = refused(server)
            late = await asyncio.gather(*[client.post("/models/held/invoke", json={}) for _ in range(30)])
            for answer in late:
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert answer.headers["content-type"] == "application/json"
                told = answer.json()
                assert (told["code"], told["type"]) == (503, "Unavailable")
                assert "waiting" in told["message"]
            assert refused(server) - before == 30
            assert server.metric("triton_hf_in_flight") == ROOM
            assert not any(task.done() for task in waiting)
            # Other models have room of their own, and what is no invocation needs none.
            assert (await client.post("/models/classifier/invoke", json={"inputs": "tea"})).status_code == 200
            assert (await client.get("/ping")).status_code == 200
            assert (await client.post("/models/nobody/invoke", json={})).status_code == 404
            go.touch()
            assert {answer.text for answer in await asyncio.gather(*waiting)} == {"answered"}
            assert (await client.post("/models/held/invoke", json={})).text == "answered"
        assert server.metric("triton_hf_in_flight") == 0

    asyncio.run(run())


def test_big_bodies_are_refused_before_they_come(server: Server, tmp_path: Path) -> None:
    go = tmp_path / "go"
    size = 32 * 2**20
    head = f"POST /models/held/invoke HTTP/1.1\r\nHost: here\r\nContent-Length: {size}\r\n\r\n".encode()

    async def read(reader: asyncio.StreamReader) -> int:
        got = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", got)
        await reader.readexactly(int(length[1]) if length else 0)
        return int(got.split()[1])

    async def run() -> None:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as client:
            held = {"until": str(go)}
            waiting = [asyncio.create_task(client.post("/models/held/invoke", json=held)) for _ in range(ROOM)]
            await until(lambda: server.metric("triton_hf_in_flight") == ROOM)
            memory = server.tree()[0].memory_info().rss
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(head)
            assert await asyncio.wait_for(read(reader), 10) == 503
            for _ in range(32):
                writer.write(bytes(2**20))
                await writer.drain()
            # The same connection is good for more.
            writer.write(b"GET /ping HTTP/1.1\r\nHost: here\r\n\r\n")
            assert await asyncio.wait_for(read(reader), 10) == 200
            writer.close()
            assert server.tree()[0].memory_info().rss - memory < 8 * 2**20
            go.touch()
            await asyncio.gather(*waiting)

    asyncio.run(run())


def test_far_more_than_can_be_answered(server: Server) -> None:
    shots = [
        Shot(json.dumps({"inputs": texts(200, longest=30, seed=seed)}).encode(), path="/models/classifier/invoke")
        for seed in range(8)
    ]
    right: list[Any] = [server.post(shot.body, shot.path).json() for shot in shots]

    def check(shot: Shot, status: int, _content_type: str, body: bytes) -> str | None:
        expected, got = right[shots.index(shot)], json.loads(body)
        if status != 200 or [each["label"] for each in got] != [each["label"] for each in expected]:
            return f"{status}: {body[:200]!r}"
        return None

    load = open_loop(server.port, shots, 400, 3.0, check=check, connections=512, patience=30)
    assert not load.problems
    assert set(load.statuses) == {200, 503}
    assert load.retry_after == len(load.refusals)
    began = time.monotonic()
    assert server.post({"inputs": "tea"}, "/models/classifier/invoke").status_code == 200
    assert time.monotonic() - began < 5
    assert server.metric("triton_hf_in_flight") == 0
