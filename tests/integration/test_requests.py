"""Requests through HTTP: routes, statuses, and bad ones among good ones."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import httpx
import numpy as np
import pytest

from tests.models import texts
from tests.serving import Server


def test_several_models_have_to_be_named(server: Server) -> None:
    answer = server.post({"inputs": "tea"})
    assert answer.status_code == 400
    assert "classifier, features, minilm" in answer.json()["message"]
    assert server.post({"inputs": "tea"}, "/models/none/invoke").status_code == 404


def test_each_model_answers_in_its_own_way(server: Server) -> None:
    [label] = server.post({"inputs": "tea"}, "/models/classifier/invoke").json()
    assert label["label"].startswith("LABEL_")
    assert np.shape(server.post({"inputs": "tea"}, "/models/features/invoke").json())[2] == 32
    assert np.shape(server.post({"inputs": ["tea"]}, "/models/minilm/invoke").json()) == (1, 384)


@pytest.mark.parametrize(
    ("body", "headers", "status", "kind", "message"),
    [
        (b'{"inputs": "tea', {}, 400, "MalformedBody", "not JSON"),
        (b"", {}, 400, "MalformedBody", "not JSON"),
        (b"\xff\xfe", {}, 400, "MalformedBody", "not JSON"),
        (b"[" * 100_000, {}, 400, "MalformedBody", "not JSON"),
        (b"3", {}, 422, "InvalidInput", "a number"),
        (b'["tea"]', {}, 422, "InvalidInput", "a list"),
        (b"{}", {}, 422, "InvalidInput", "no keys"),
        (b'{"inputs": 3}', {}, 422, "InvalidInput", "a number"),
        (b'{"inputs": ["tea", 3]}', {}, 422, "InvalidInput", "inputs[1] is a number"),
        (b'{"inputs": null}', {}, 422, "InvalidInput", "null"),
        (b'{"inputs": "\\ud800"}', {}, 422, "InvalidInput", "Unicode"),
        (b'{"inputs": "tea", "parameters": []}', {}, 422, "InvalidInput", "parameters must be an object"),
        (b'{"inputs": "tea", "parameters": {"x": 1}}', {}, 422, "InvalidInput", "'x'"),
        (
            b'{"inputs": "tea"}',
            {"content_type": "application/x-unknown"},
            415,
            "UnsupportedType",
            "application/x-unknown",
        ),
        (b'{"inputs": "tea"}', {"accept": "image/png"}, 406, "UnacceptableType", "image/png"),
    ],
)
def test_bad_requests_get_their_status(
    server: Server, body: bytes, headers: dict[str, str], status: int, kind: str, message: str
) -> None:
    answer = server.post(body, "/models/classifier/invoke", **headers)
    assert (answer.status_code, answer.json()["type"], answer.json()["code"]) == (status, kind, status)
    assert message in answer.json()["message"]
    assert server.post({"inputs": "tea"}, "/models/classifier/invoke").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "application/json; charset=utf-8"},
        {"content_type": "Application/JSON"},
        {"accept": "*/*"},
        {"accept": "application/json"},
        {"accept": "text/html;q=0.3, application/*;q=0.9"},
        {"accept": "image/png, application/json;q=0.1"},
    ],
    ids=str,
)
def test_media_types_are_parsed(server: Server, headers: dict[str, str]) -> None:
    answer = server.post(b'{"inputs": "tea"}', "/models/classifier/invoke", **headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


def test_an_empty_list_is_an_empty_answer(server: Server) -> None:
    for name in ("classifier", "features", "minilm"):
        answer = server.post({"inputs": []}, f"/models/{name}/invoke")
        assert (answer.status_code, answer.content) == (200, b"[]")


def test_bad_requests_among_good_ones_harm_nobody(server: Server) -> None:
    good = [{"inputs": text, "parameters": {"top_k": None}} for text in texts(64, longest=30)]
    alone = [server.post(body, "/models/classifier/invoke").json() for body in good]
    too_long = {"inputs": "fox " * 100}
    bad: list[Any] = [{"inputs": 3}, {"inputs": ["a", None]}, too_long, {"inputs": "\ud800"}, b"{", b"[]"] * 4
    sent = [body for pair in zip(good, (bad * 3)[: len(good)], strict=True) for body in pair]

    async def send() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            base_url=server.url, timeout=60, limits=httpx.Limits(max_connections=None)
        ) as client:
            return await asyncio.gather(
                *[
                    client.post(
                        "/models/classifier/invoke",
                        content=body if isinstance(body, bytes) else json.dumps(body),
                        headers={"content-type": "application/json"},
                    )
                    for body in sent
                ]
            )

    answers = asyncio.run(send())
    assert {answer.status_code for answer in answers[1::2]} == {400, 422}
    for answer, expected in zip(answers[::2], alone, strict=True):
        assert answer.status_code == 200
        for one, other in zip(answer.json(), expected, strict=True):
            assert one["label"] == other["label"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_a_string_of_10_mb(server: Server) -> None:
    giant = "lorem ipsum " * 900_000
    assert len(server.post({"inputs": giant}, "/models/minilm/invoke").json()) == 384
    refused = server.post({"inputs": giant[:1_000_000]}, "/models/classifier/invoke")
    assert refused.status_code == 422
    assert "the model takes 64" in refused.json()["message"]
    assert server.post({"inputs": "tea"}, "/models/classifier/invoke").status_code == 200


def test_an_answer_of_many_megabytes(server: Server) -> None:
    inputs = ["fox tea"] * 9000
    answer = server.post({"inputs": inputs}, "/models/features/invoke")
    assert len(answer.content) > 8 * 2**20
    assert np.shape(answer.json()[8999])[2] == 32


def test_a_body_over_the_cap_is_refused_before_it_is_read(server: Server) -> None:
    limit = 100 * 2**20

    def endless() -> Any:
        sent = 0
        while sent < 4 * limit:
            yield b" " * 2**20
            sent += 2**20
        raise AssertionError("the whole body was read")

    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(
            b"POST /models/minilm/invoke HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            + f"content-length: {limit + 1}\r\n\r\n".encode()
        )
        assert raw.recv(100).startswith(b"HTTP/1.1 413")
    with pytest.raises((httpx.TransportError, AssertionError)) as caught:
        answer = server.client.post("/models/minilm/invoke", content=endless())
        assert answer.status_code == 413
        raise httpx.WriteError("answered 413")
    assert not isinstance(caught.value, AssertionError)


def test_routes_and_methods(server: Server) -> None:
    assert server.client.get("/ping").content == b""
    assert server.client.get("/nothing").status_code == 404
    assert server.client.get("/invocations").status_code == 405
    metrics = server.client.get("/metrics").text
    assert "triton_hf_requests_total{" in metrics
    assert "nv_inference_count{" in metrics
