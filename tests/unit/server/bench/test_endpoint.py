"""Addresses, the first requests, and what is read from files and /metrics."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from server.bench import bodies, prometheus, usage
from server.bench.connection import Target
from server.bench.endpoint import Endpoint
from server.errors import ServerError
from tests.unit.server.bench.serving import answering, response


@pytest.mark.parametrize(
    ("address", "name", "target", "path"),
    [
        ("8080", None, Target(8080), "/invocations"),
        ("host:9000", None, Target(9000, "host"), "/invocations"),
        ("http://host", "a", Target(80, "host"), "/models/a/invoke"),
        ("https://host/models/b/invoke", None, Target(443, "host", tls=True), "/models/b/invoke"),
        ("http://[::1]:8080/", None, Target(8080, "::1"), "/invocations"),
    ],
)
def test_addresses(address: str, name: str | None, target: Target, path: str) -> None:
    endpoint = Endpoint.parse(address, name)
    assert (endpoint.target, endpoint.path) == (target, path)


@pytest.mark.parametrize("address", ["ftp://host", "http://", "host:port"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"port|Port"):
        Endpoint.parse(address)


def test_lines_are_texts_or_bodies(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text('one\n\n{"two": 2}\n')
    assert [json.loads(shot.body) for shot in bodies.read(tmp_path / "a.txt")] == [
        {"inputs": "one"},
        {"inputs": '{"two": 2}'},
    ]
    (tmp_path / "a.jsonl").write_text('{"inputs": "ä", "parameters": {}}\n')
    [shot] = bodies.read(tmp_path / "a.jsonl")
    assert shot.body == '{"inputs": "ä", "parameters": {}}'.encode()
    for content, told in (("", "no line"), ('{"a": 1}\n{"b"\n', "line 2 is no JSON")):
        (tmp_path / "b.jsonl").write_text(content)
        with pytest.raises(ServerError, match=told):
            bodies.read(tmp_path / "b.jsonl")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ServerError, match="cannot be read"):
        bodies.read(tmp_path / "c.txt")


def test_the_built_in_requests_that_are_answered_are_taken() -> None:
    async def answer(body: bytes) -> bytes:
        question = b'"question"' in body and b"keeps" in body
        return response(200, b"{}") if question else response(422, b'{"message": "a question, please"}')

    with answering(answer) as port:
        endpoint = Endpoint.parse(str(port))
        [shot] = endpoint.choose(bodies.examples())
        assert b"keeps" in shot.body and shot.path == "/invocations"


def test_an_endpoint_that_takes_nothing_is_told_of_in_a_line() -> None:
    async def answer(body: bytes) -> bytes:
        return response(422, b'{"message": "no"}') if body.startswith(b"{") else response(500, b"broken\nhere")

    with answering(answer) as port:
        endpoint = Endpoint.parse(str(port))
        with pytest.raises(ServerError, match=r"answers 500: broken here$"):
            endpoint.choose(bodies.examples())
        with pytest.raises(ServerError, match=r"answers 422: no$"):
            endpoint.accept(next(bodies.examples()))
    with pytest.raises(ServerError, match=r"nobody answers at http://127\.0\.0\.1:\d+: Connection refused$"):
        endpoint.accept(next(bodies.examples()))


METRICS = """\
# TYPE triton_hf_runs_total counter
triton_hf_runs_total{model="m"} 10
# TYPE triton_hf_rows_total counter
triton_hf_rows_total{model="m"} 40
# TYPE triton_hf_answered_total counter
triton_hf_answered_total{model="m"} 20
# TYPE triton_hf_stage_seconds_total counter
triton_hf_stage_seconds_total{model="m",stage="queue"} 0.02
triton_hf_stage_seconds_total{model="m",stage="infer"} 0.06
# TYPE triton_hf_stage_cpu_seconds_total counter
triton_hf_stage_cpu_seconds_total{model="m",stage="infer"} 0.01
# TYPE triton_hf_in_triton_seconds gauge
triton_hf_in_triton_seconds 0.14
# TYPE triton_hf_request_seconds histogram
triton_hf_request_seconds_bucket{le="+Inf"} 20
triton_hf_request_seconds_count 20
triton_hf_request_seconds_sum 0.2
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="m"} 20
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{model="m"} 20000
"""


def test_stages_add_up_to_what_the_adapter_saw() -> None:
    added = prometheus.difference(prometheus.Counters(), prometheus.parse(METRICS))
    assert prometheus.mean_batch(added) == 4
    stages = prometheus.stages_ms(added)
    assert stages is not None
    assert stages == pytest.approx(
        {"adapter": 3.0, "wire": 2.0, "triton": 1.0, "queue": 1.0, "tokenise": 0.0, "infer": 3.0, "encode": 0.0}
    )
    assert sum(stages.values()) == pytest.approx(10.0)
    assert prometheus.stages_cpu_us(added) == pytest.approx({"infer": 500.0})
    assert prometheus.stages_ms({}) is None and prometheus.mean_batch({}) is None


def test_who_listens_on_a_port() -> None:
    async def answer(body: bytes) -> bytes:
        return response(200, body)

    with answering(answer) as port:
        found = usage.listening(port)
        look = usage.cpu(found)
        # Servers that other tests have started are this process's children as well.
        assert sum(look.seconds.values()) > 0 and "adapter" in look.kinds.values()
        assert os.getpid() in {process.pid for process in found}
        proportional, resident = usage.memory_mb(found)
        assert 1 < proportional <= resident
    assert usage.listening(port) == []
