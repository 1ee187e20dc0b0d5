"""What a container answers when it cannot, or must not."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.platform.conftest import Run
from tests.platform.container import Container
from tests.platform.simulator import MB, invoke

TEA = {"inputs": "tea"}


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of a refusal, which has the shape that all have."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"code", "type", "message"}
    assert body["code"] == status
    assert isinstance(body["type"], str) and body["type"]
    assert isinstance(body["message"], str) and len(body["message"]) < 2048
    assert answer.headers["content-type"] == "application/json"
    return body


@pytest.mark.clause("errors.400")
@pytest.mark.parametrize("body", [b"", b"{", b'{"inputs": "tea"', b"\xff\xfe", b"tea"])
def test_malformed_json(classifier: Container, body: bytes) -> None:
    refused(invoke(classifier, body), 400)


@pytest.mark.clause("errors.406")
@pytest.mark.parametrize("accept", ["image/png", "text/html", "application/pdf, text/html;q=0.5"])
def test_answers_that_cannot_be_written(classifier: Container, accept: str) -> None:
    refused(invoke(classifier, TEA, accept=accept), 406)


@pytest.mark.clause("errors.415")
@pytest.mark.parametrize("content_type", ["application/pdf", "text/plain", "video/mp4", "tea"])
def test_bodies_that_cannot_be_read(classifier: Container, content_type: str) -> None:
    refused(invoke(classifier, json.dumps(TEA).encode(), content_type=content_type), 415)


@pytest.mark.clause("errors.types-script")
def test_scripts_take_any_type(scripted: Container) -> None:
    answer = invoke(scripted, b"leaf", content_type="application/x-tea", accept="application/x-pot")
    assert (answer.status_code, answer.content) == (200, b"leaf")


@pytest.fixture(scope="module")
def counting(run: Run, ml: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """A model with a predict_fn alone, which answers how often it ran."""
    folder = tmp_path_factory.mktemp("counting")
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").write_text(
        "calls = 0\n\n\ndef model_fn(model_dir):\n    return None\n\n\n"
        "def predict_fn(data, model):\n    global calls\n    calls += 1\n    return {'calls': calls}\n"
    )
    with run(ml(folder), {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}) as container:
        yield container.wait()


@pytest.mark.clause("errors.types-before-inference")
def test_types_are_refused_before_the_model_runs(counting: Container) -> None:
    assert invoke(counting, {}).json() == {"calls": 1}
    refused(invoke(counting, {}, accept="text/html"), 406)
    refused(invoke(counting, b"tea", content_type="application/pdf"), 415)
    assert invoke(counting, {}).json() == {"calls": 2}


@pytest.fixture(scope="module")
def capped(run: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> Container:
    """One process, bodies of a megabyte, two seconds for an answer, one that may wait."""
    env = {
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": "1",
        "SAGEMAKER_MODEL_SERVER_TIMEOUT": "2",
        "MMS_JOB_QUEUE_SIZE": "1",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
    }
    return run(ml(obedient()), env).wait()


@pytest.mark.clause("errors.413", "env.SAGEMAKER_MAX_PAYLOAD_IN_MB")
def test_a_body_over_the_cap(capped: Container) -> None:
    within = b"x" * MB
    assert invoke(capped, within, content_type="text/x-tea").content == within
    refused(invoke(capped, within + b"x", content_type="text/x-tea"), 413)


@pytest.mark.clause("errors.413-unread")
@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_cap_is_not_read_whole(capped: Container, announced: bool) -> None:
    head = b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: text/x-tea\r\n"
    with socket.create_connection(("127.0.0.1", capped.port), timeout=10) as connection:
        if announced:
            # Of a gigabyte, a kilobyte.
            connection.sendall(head + f"content-length: {1024 * MB}\r\n\r\n".encode() + b"x" * 1024)
        else:
            # Two megabytes in chunks, and no end.
            connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
            chunk = b"%x\r\n" % (MB // 4) + b"x" * (MB // 4) + b"\r\n"
            for _ in range(8):
                try:
                    connection.sendall(chunk)
                except OSError:
                    break
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


@pytest.mark.clause("errors.422")
@pytest.mark.parametrize(
    "body",
    [
        {"inputs": 5},
        {"inputs": ["tea", 5]},
        {"inputs": "tea", "parameters": {"top_k": "many"}},
        {"inputs": "tea", "parameters": {"no_such": 1}},
        {"inputs": "tea", "parameters": "top_k"},
    ],
)
def test_what_the_task_cannot_take(classifier: Container, body: dict[str, Any]) -> None:
    refused(invoke(classifier, body), 422)


@pytest.mark.clause("errors.404")
def test_an_unknown_model(classifier: Container) -> None:
    refused(invoke(classifier, TEA, path="/models/nobody/invoke"), 404)


@pytest.mark.clause("errors.500")
def test_a_script_that_fails(scripted: Container) -> None:
    body = refused(invoke(scripted, {"raise": "cold tea"}), 500)
    assert "cold tea" in body["message"]
    for word in ("Traceback", "File ", "inference.py", ".py"):
        assert word not in body["message"]
    assert "Traceback" in scripted.text


@pytest.mark.clause("errors.message-2048")
def test_long_messages_are_cut(scripted: Container) -> None:
    refused(invoke(scripted, {"raise": "tea " * 10_000}), 500)
    # A third of the letters an English one has room for, on a wire that counts bytes.
    refused(invoke(scripted, {"prediction_exception": ["茶" * 10_000, 410]}), 410)


@pytest.mark.clause("errors.body")
def test_every_failure_has_one_shape(classifier: Container, scripted: Container, capped: Container) -> None:
    refused(invoke(classifier, b"{"), 400)
    refused(invoke(classifier, TEA, path="/models/nobody/invoke"), 404)
    refused(invoke(classifier, TEA, accept="text/html"), 406)
    refused(invoke(capped, b"x" * (MB + 1)), 413)
    refused(invoke(classifier, b"tea", content_type="application/pdf"), 415)
    refused(invoke(classifier, {"inputs": 5}), 422)
    refused(invoke(scripted, {"raise": "tea"}), 500)


@pytest.mark.clause("errors.503-queue", "env.MMS_JOB_QUEUE_SIZE")
def test_a_full_queue(capped: Container) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(90) as pool:
        answers = list(pool.map(lambda _: invoke(capped, {"sleep": 1.2}), range(90)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503, 504}, set(statuses)
    full = [answer for answer in answers if answer.status_code == 503]
    assert {answer.headers["retry-after"] for answer in full} == {"1"}
    refused(full[0], 503)
    # A batch's worth and the one that may wait are let in.
    assert statuses.count(503) == 90 - 65
    assert time.monotonic() - began < 30


@pytest.mark.clause("errors.504", "env.SAGEMAKER_MODEL_SERVER_TIMEOUT")
def test_no_answer_in_time(capped: Container) -> None:
    began = time.monotonic()
    refused(invoke(capped, {"sleep": 4}), 504)
    assert 1.8 < time.monotonic() - began < 3.5


@pytest.mark.clause("errors.prediction-exception")
def test_a_prediction_exception_keeps_its_code(scripted: Container) -> None:
    body = refused(invoke(scripted, {"prediction_exception": ["no more leaves", 418]}), 418)
    assert body["message"] == "no more leaves"


@pytest.mark.clause("errors.toolkit-error")
def test_a_toolkit_error_keeps_its_code(scripted: Container) -> None:
    body = refused(invoke(scripted, {"toolkit_error": [429, "too much tea", "later"]}), 429)
    assert body["message"] == "too much tea"
