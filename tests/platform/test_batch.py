"""Transform jobs over a classifier: objects split, sent and put together again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models import texts
from tests.platform.conftest import Run
from tests.platform.container import Container
from tests.platform.simulator import JSON, MB, Transform, invoke
from tests.platform.test_errors import refused

LINES = "application/jsonlines"
TEXTS = texts(40, longest=30)


def lines(values: list[str], end: str = "\n") -> bytes:
    """A file of lines, each ended."""
    return "".join(json.dumps({"inputs": value}) + end for value in values).encode()


@pytest.fixture(scope="module")
def job(run: Run, ml: Callable[..., Path], classifier_entry: Path) -> Container:
    """A container in batch mode, of a job whose user left everything else out."""
    return run(ml(classifier_entry), Transform().environment()).wait()


@pytest.fixture(scope="module")
def expected(classifier: Container) -> list[Any]:
    """What each text gets alone, at a real-time endpoint."""
    return [invoke(classifier, {"inputs": text}).json() for text in TEXTS]


def same(answer: Any, wanted: Any) -> bool:
    """Whether two answers are equal but for rounding."""
    if isinstance(answer, list) and isinstance(wanted, list):
        return len(answer) == len(wanted) and all(map(same, answer, wanted))
    return answer["label"] == wanted["label"] and abs(answer["score"] - wanted["score"]) < 1e-5


def read(output: bytes) -> list[Any]:
    return [json.loads(line) for line in output.decode().split("\n")]


def test_differences_are_seen(expected: list[Any]) -> None:
    """The control of every comparison here."""
    assert not same(expected, expected[::-1])
    assert len({answer[0]["score"] for answer in expected}) > 30


@pytest.mark.clause("batch.execution-parameters-404")
def test_nothing_configured_nothing_said(job: Container, classifier: Container) -> None:
    assert job.request("GET", "/execution-parameters").status_code == 404
    assert classifier.request("GET", "/execution-parameters").status_code == 404


@pytest.fixture(scope="module")
def configured(run: Run, ml: Callable[..., Path], classifier_entry: Path) -> tuple[Transform, Container]:
    """A job whose user set everything, and bad lines to be marked, and its container."""
    transform = Transform(LINES, split="Line", strategy="SingleRecord", max_payload_mb=1, max_concurrent=3)
    env = {**transform.environment(), "TRITON_HF_MARK_BAD_LINES": "true"}
    return transform, run(ml(classifier_entry), env).wait()


@pytest.mark.clause("batch.execution-parameters")
def test_what_is_configured_is_said(configured: tuple[Transform, Container]) -> None:
    answer = configured[1].request("GET", "/execution-parameters")
    assert answer.status_code == 200
    said = answer.json()
    assert said.keys() == {"MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"}
    assert (said["MaxConcurrentTransforms"], said["MaxPayloadInMB"]) == (3, 1)
    assert said["BatchStrategy"] in ("SingleRecord", "SINGLE_RECORD")
    # A job that leaves everything to the container does as it says.
    done = Transform(LINES, split="Line", assemble="Line").run(configured[1], {"a": lines(TEXTS)})
    assert (done.requests, done.concurrent) == (40, 3)


@pytest.mark.clause("batch.max-payload")
def test_the_largest_body(configured: tuple[Transform, Container]) -> None:
    line = lines(["tea"])
    body = line * (MB // len(line))
    assert len(read(invoke(configured[1], body, content_type=LINES).content)) == MB // len(line)
    refused(invoke(configured[1], body + line, content_type=LINES), 413)


@pytest.mark.clause("batch.concurrency")
def test_requests_at_once(configured: tuple[Transform, Container], expected: list[Any]) -> None:
    transform, container = configured
    done = transform.run(container, {"a": lines(TEXTS), "b": lines(TEXTS[::-1])})
    assert (done.requests, done.concurrent) == (80, 3)
    found = {name: [json.loads(part) for part in _documents(output)] for name, output in done.outputs.items()}
    assert same(found["a"], expected)
    assert same(found["b"], expected[::-1])


def _documents(output: bytes) -> list[str]:
    """Answers that were put together without anything between them."""
    decoder, text, found = json.JSONDecoder(), output.decode(), []
    while text:
        _, end = decoder.raw_decode(text)
        found.append(text[:end])
        text = text[end:]
    return found


@pytest.mark.clause("batch.whole")
def test_an_object_in_one_request(job: Container, expected: list[Any]) -> None:
    whole = json.dumps({"inputs": TEXTS}, indent=1).encode()
    done = Transform(JSON).run(job, {"a": whole, "b": json.dumps({"inputs": TEXTS[0]}).encode()})
    assert done.requests == 2
    assert same(json.loads(done.outputs["a"]), [answer for [answer] in expected])
    assert same(json.loads(done.outputs["b"]), expected[0])


@pytest.mark.clause("batch.one-json-as-json")
def test_one_document_stays_one_request(job: Container, classifier: Container) -> None:
    for body in (
        json.dumps({"inputs": TEXTS[:2]}),
        json.dumps({"inputs": TEXTS[:2]}, indent=2),
        json.dumps({"inputs": TEXTS[0], "parameters": {"top_k": 2}}) + "\n",
        "\n\n" + json.dumps({"inputs": TEXTS[0]}, indent="\t") + "\n",
    ):
        assert same(invoke(job, body.encode()).json(), invoke(classifier, body.encode()).json())
    # Not in batch mode, lines are no JSON.
    refused(invoke(classifier, lines(TEXTS[:2])), 400)


@pytest.mark.clause("batch.single-record", "batch.assemble-line")
@pytest.mark.parametrize("content_type", [JSON, LINES])
def test_a_line_a_request(job: Container, expected: list[Any], content_type: str) -> None:
    transform = Transform(content_type, split="Line", assemble="Line", strategy="SingleRecord")
    done = transform.run(job, {"a": lines(TEXTS)})
    assert done.requests == len(TEXTS)
    output = done.outputs["a"]
    assert output.count(b"\n") == len(TEXTS) and output.endswith(b"\n")
    assert same(read(output.removesuffix(b"\n")), expected)


@pytest.mark.clause("batch.multi-record", "batch.assemble-line", "batch.same-answers")
def test_many_lines_a_request(job: Container, expected: list[Any]) -> None:
    transform = Transform(LINES, split="Line", assemble="Line", strategy="MultiRecord", max_payload_mb=1)
    repeated = 600
    done = transform.run(job, {"a": lines(TEXTS * repeated)[:-1], "b": lines(TEXTS)})
    assert not done.failed
    assert done.requests == len(lines(TEXTS * repeated)) // MB + 2
    found = read(done.outputs["a"].removesuffix(b"\n"))
    assert len(found) == len(TEXTS) * repeated
    assert same(found, expected * repeated)
    assert same(read(done.outputs["b"].removesuffix(b"\n")), expected)


@pytest.mark.clause("batch.json-lines-as-json")
def test_lines_named_json(job: Container, expected: list[Any]) -> None:
    transform = Transform(JSON, split="Line", assemble="Line", strategy="MultiRecord")
    assert same(read(transform.run(job, {"a": lines(TEXTS)}).outputs["a"].removesuffix(b"\n")), expected)


@pytest.mark.clause("batch.jsonlines")
def test_json_lines(job: Container, classifier: Container, expected: list[Any]) -> None:
    for container in (job, classifier):
        answer = invoke(container, lines(TEXTS), content_type=LINES)
        assert same(read(answer.content), expected)
        assert same(read(invoke(container, lines(TEXTS), content_type=f"{LINES}; charset=utf-8").content), expected)


@pytest.mark.clause("batch.ndjson")
def test_ndjson(job: Container, expected: list[Any]) -> None:
    answer = invoke(job, lines(TEXTS), content_type="application/x-ndjson")
    assert same(read(answer.content), expected)


@pytest.mark.clause("batch.answer-lines")
@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_as_many_lines_as_came(job: Container, count: int) -> None:
    answer = invoke(job, lines(TEXTS[:count]), content_type=LINES).content
    assert not answer.endswith(b"\n")
    assert len(answer.split(b"\n")) == count
    assert len(read(answer)) == count


@pytest.mark.clause("batch.answer-compact")
def test_compact_results(job: Container) -> None:
    for line in invoke(job, lines(TEXTS), content_type=LINES).text.split("\n"):
        assert line == json.dumps(json.loads(line), separators=(",", ":"))


@pytest.mark.clause("batch.blank-lines")
def test_blank_lines(job: Container, expected: list[Any]) -> None:
    body = b"\n \n" + lines(TEXTS[:2]) + b"\n\t\n\n" + lines(TEXTS[2:4]) + b"\n\n"
    assert same(read(invoke(job, body, content_type=LINES).content), expected[:4])


@pytest.mark.clause("batch.trailing-line-feed")
@pytest.mark.parametrize("content_type", [JSON, LINES])
def test_the_last_line_feed(job: Container, content_type: str, expected: list[Any]) -> None:
    body = lines(TEXTS[:3])
    with_feed, without = (
        invoke(job, each, content_type=content_type).content for each in (body, body.removesuffix(b"\n"))
    )
    assert with_feed == without
    assert same(read(with_feed), expected[:3])


@pytest.mark.clause("batch.crlf")
@pytest.mark.parametrize("content_type", [JSON, LINES])
def test_crlf(job: Container, content_type: str, expected: list[Any]) -> None:
    answer = invoke(job, lines(TEXTS[:3], "\r\n"), content_type=content_type)
    assert same(read(answer.content), expected[:3])
    assert b"\r" not in answer.content


BAD = [b"tea", b'{"inputs": 5}', b'{"inputs": "tea"', b'{"inputs": "tea", "parameters": {"no_such": 1}}']


@pytest.mark.clause("batch.bad-line-fails")
@pytest.mark.parametrize("bad", BAD)
def test_a_bad_line_fails_its_request(job: Container, bad: bytes) -> None:
    body = lines(TEXTS[:2]) + bad + b"\n" + lines(TEXTS[2:4])
    answer = invoke(job, body, content_type=LINES)
    assert 400 <= answer.status_code < 500
    assert "3" in refused(answer, answer.status_code)["message"]


@pytest.mark.clause("batch.bad-line-marked")
@pytest.mark.parametrize("asked_by", ["operator", "job"])
def test_bad_lines_leave_the_others_unharmed(
    job: Container, configured: tuple[Transform, Container], expected: list[Any], asked_by: str
) -> None:
    good = lines(TEXTS).splitlines()
    body = b"\n".join(line for number, one in enumerate(good) for line in (one, BAD[number % len(BAD)]))
    content_type, container = (LINES, configured[1]) if asked_by == "operator" else (f"{LINES}; bad-lines=mark", job)
    transform = Transform(content_type, split="Line", assemble="Line", strategy="MultiRecord")
    done = transform.run(container, {"a": body})
    found = read(done.outputs["a"].removesuffix(b"\n"))
    assert len(found) == 2 * len(TEXTS)
    assert same(found[::2], expected)
    for line in found[1::2]:
        assert isinstance(line["error"], str) and line["error"]
