"""Batch transform's side of the server: bodies of lines, and what a job asks before it begins."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from converters.entry import place
from tests.models import texts
from tests.serving import BACKEND, Server

LINES = "application/jsonlines"
CLASSIFIER = "/models/classifier/invoke"
BODIES: list[Any] = [
    {"inputs": text, "parameters": {"top_k": None} if index % 3 else {}}
    for index, text in enumerate(texts(300, longest=30))
]
USER_CODE = Path(__file__).parents[1] / "user_code"


def lines(bodies: list[Any], end: str = "\n") -> bytes:
    return end.join(json.dumps(body, ensure_ascii=False) for body in bodies).encode()


def close(one: Any, other: Any) -> bool:
    return [entry["label"] for entry in one] == [entry["label"] for entry in other] and [
        entry["score"] for entry in one
    ] == pytest.approx([entry["score"] for entry in other], abs=1e-5)


@pytest.fixture(scope="module")
def alone(server: Server) -> list[Any]:
    """The answer to each body as a request of its own."""
    return [server.post(body, CLASSIFIER).json() for body in BODIES]


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory, built: Callable[..., Path], convert: Any) -> Iterator[Server]:
    """A server in a batch transform job, with models around scripts too."""
    root = tmp_path_factory.mktemp("batch")
    place(convert(built("bert", num_labels=3)).path, root, "classifier")
    for case in ("hooks", "printing", "parallel"):
        folder = root / "sources" / case
        shutil.copytree(built("bert", num_labels=3), folder)
        shutil.copytree(USER_CODE / case / "code", folder / "code")
        place(convert(folder).path, root, case)
    env = {
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": "SingleRecord",
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "300",
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
        "TRITON_HF_MARK_BAD_LINES": "true",
    }
    server = Server("--repository", str(root), log=root / "serve.log", env=env).wait()
    yield server
    server.stop()


@pytest.mark.parametrize("kind", [LINES, "application/x-ndjson"])
def test_lines_are_answered_in_order_as_if_alone(server: Server, alone: list[Any], kind: str) -> None:
    answer = server.post(lines(BODIES), CLASSIFIER, content_type=kind)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert not answer.content.endswith(b"\n")
    found = answer.text.split("\n")
    assert len(found) == len(BODIES)
    assert all(close(json.loads(one), other) for one, other in zip(found, alone, strict=True))


def test_blank_lines_and_other_line_ends_are_tolerated(server: Server, alone: list[Any]) -> None:
    body = b"\r\n\r\n" + lines(BODIES[:5], "\r\n\r\n  \r\n") + b"\r\n"
    found = server.post(body, CLASSIFIER, content_type=LINES).text.split("\n")
    assert all(close(json.loads(one), other) for one, other in zip(found, alone[:5], strict=True))


@pytest.mark.parametrize("body", [b"", b"\n\r\n"])
def test_no_lines_have_no_answer(server: Server, body: bytes) -> None:
    answer = server.post(body, CLASSIFIER, content_type=LINES)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("line", "status", "kind"),
    [
        (b'{"inputs": ', 400, "MalformedBody"),
        (b'{"inputs": 3}', 422, "InvalidInput"),
        (json.dumps({"inputs": "fox " * 100}).encode(), 422, "InvalidInput"),
    ],
)
def test_a_bad_line_fails_its_body_or_has_its_failure_in_its_place(
    server: Server, alone: list[Any], line: bytes, status: int, kind: str
) -> None:
    body = lines(BODIES[:70]) + b"\n\n" + line + b"\n" + lines(BODIES[70:])
    failed = server.post(body, CLASSIFIER, content_type=LINES)
    assert (failed.status_code, failed.json()["code"], failed.json()["type"]) == (status, status, kind)
    assert failed.json()["message"].startswith("line 72: ")
    marked = server.post(body, CLASSIFIER, content_type=f"{LINES}; bad-lines=mark")
    assert (marked.status_code, marked.headers["x-triton-hf-bad-lines"]) == (200, "1")
    found = [json.loads(one) for one in marked.text.split("\n")]
    assert (found[70]["code"], found[70]["type"]) == (status, kind)
    assert f"line 72: {found[70]['error']}" == failed.json()["message"]
    del found[70]
    assert all(close(one, other) for one, other in zip(found, alone, strict=True))


def test_a_big_body_has_a_big_answer(server: Server) -> None:
    path = "/models/features/invoke"
    body = lines([{"inputs": "fox tea " * 20}] * 1000) + b'\n{"inputs": "tea"' + b" " * 5 * 2**20 + b"}\n"
    answer = server.post(body + lines([{"inputs": "dog"}]), path, content_type=LINES)
    assert len(answer.content) > 8 * 2**20
    found = [json.loads(one) for one in answer.text.split("\n")]
    assert len(found) == 1002
    for one, text in (
        (found[0], "fox tea " * 20),
        (found[999], "fox tea " * 20),
        (found[1000], "tea"),
        (found[1001], "dog"),
    ):
        assert np.allclose(one, server.post({"inputs": text}, path).json(), atol=1e-5)


def test_lines_and_single_requests_share_a_server(server: Server) -> None:
    """One body is one request to the admission limit, and lines do not keep others from being answered."""
    assert server.metric("triton_hf_in_flight") == 0
    with httpx.Client(base_url=server.url, timeout=60) as client:
        body = lines(BODIES * 10)
        with client.stream("POST", CLASSIFIER, content=body, headers={"content-type": LINES}) as answer:
            assert server.post(BODIES[0], CLASSIFIER).status_code == 200
            assert len(answer.read().split(b"\n")) == 3000


def test_json_is_lines_in_a_batch_job(batch: Server, alone: list[Any]) -> None:
    answer = batch.post(lines(BODIES) + b"\n", CLASSIFIER)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    found = [json.loads(one) for one in answer.text.split("\n")]
    assert all(close(one, other) for one, other in zip(found, alone, strict=True))
    assembled = batch.post(lines(BODIES[:3]), CLASSIFIER, accept=LINES)
    assert assembled.headers["content-type"] == LINES


def test_one_document_stays_one_in_a_batch_job(batch: Server, alone: list[Any]) -> None:
    for indent in (None, 2):
        for accept in ("application/json", LINES):
            answer = batch.post(json.dumps(BODIES[1], indent=indent).encode(), CLASSIFIER, accept=accept)
            assert (answer.status_code, answer.headers["content-type"]) == (200, accept)
            assert close(answer.json(), alone[1])
            assert b"\n" not in answer.content
    # As SingleRecord sends it.
    assert close(batch.post(lines(BODIES[2:3]) + b"\n", CLASSIFIER).json(), alone[2])


def test_json_is_one_document_elsewhere(server: Server) -> None:
    answer = server.post(lines(BODIES[:2]), CLASSIFIER)
    assert (answer.status_code, answer.json()["type"]) == (400, "MalformedBody")


def test_the_operator_may_have_bad_lines_marked(batch: Server) -> None:
    for body in (b'{"inputs": 3}', b'{"inputs": "tea"}\n{"inputs": 3}'):
        answer = batch.post(body, CLASSIFIER)
        assert answer.status_code == 200
        assert json.loads(answer.text.split("\n")[-1])["code"] == 422
    assert batch.post(b'{"inputs": 3}', CLASSIFIER, content_type="application/json; bad-lines=fail").status_code == 422


def test_a_script_that_reads_bodies_gets_the_whole_body(batch: Server) -> None:
    body = lines([{"sentence": text} for text in texts(3)])
    assert batch.post(body, "/models/hooks/invoke").json()["type"] == "MalformedBody"
    asked = batch.post(body, "/models/hooks/invoke", content_type=f"{LINES}; split=line")
    assert [list(json.loads(one)) for one in asked.text.split("\n")] == [["best"]] * 3


def test_what_a_script_writes_becomes_one_line(batch: Server) -> None:
    ways = ["tea", "pretty", "table", "bytes", "status"]
    answer = batch.post(lines([{"inputs": way} for way in ways]), "/models/printing/invoke", content_type=LINES)
    tea, pretty, table, binary, status = (json.loads(one) for one in answer.text.split("\n"))
    assert tea == {"said": "tea", "accept": "application/json"}
    assert pretty == {"list": [1, 2], "long": 10**25, "text": "tea\nfor two"}
    assert table == "label,score\ntea,0.5\n"
    assert binary["code"] == 406
    assert status["code"] == 409


def test_a_line_that_ends_its_process_harms_no_other_line(batch: Server) -> None:
    bodies = [{"inputs": index} for index in range(40)]
    bodies[20] = {"inputs": "die"}
    answer = batch.post(lines(bodies), "/models/parallel/invoke", content_type=LINES)
    found = [json.loads(one) for one in answer.text.split("\n")]
    assert [one["echo"] for one in found[:10]] == list(range(10))
    assert found[20]["type"] == "BackendDied"
    # What else was in the process may not be tried again: the script may have done something.
    assert sum("echo" in one for one in found) > 30


def test_lines_survive_the_death_of_their_process(server: Server, alone: list[Any]) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        body = lines(BODIES * 10)
        before = server.metric("triton_hf_restarts")
        backends = [child for child in server.tree() if BACKEND in " ".join(child.cmdline()[:1])]

        def send() -> Iterator[bytes]:
            yield body
            for backend in backends:
                backend.kill()

        answer = client.post(CLASSIFIER, content=send(), headers={"content-type": LINES})
    found = answer.text.split("\n")
    assert len(found) == 3000
    assert all(close(json.loads(one), other) for one, other in zip(found, alone * 10, strict=True))
    assert server.metric("triton_hf_restarts") > before


def test_execution_parameters(server: Server, batch: Server) -> None:
    assert server.client.get("/execution-parameters").status_code == 404
    answer = batch.client.get("/execution-parameters")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == {"MaxConcurrentTransforms": 300, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 6}
