"""Bodies of lines: which they are, what their lines are, and what is written for each."""

from __future__ import annotations

import io
import json
from functools import partial
from typing import Any

import pytest

from server.errors import HTTPError
from server.lines import Format, Reading, error_line, failure, one_line, recognise, records

LINES = "application/jsonlines"
JSON = "application/json"
BATCH = Reading(batch=True)


def form(body: bytes, kind: str, accept: str = "", reading: Reading = BATCH, *, own_reader: bool = False) -> Any:
    return recognise(kind, accept, partial(io.BytesIO, body), reading, own_reader=own_reader)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (LINES, LINES),
        ("application/x-ndjson", "application/x-ndjson"),
        ("application/jsonl", LINES),
        ("Application/JSONLines; charset=UTF-8", LINES),
    ],
)
def test_the_types_of_lines_are_lines_in_every_mode(kind: str, answer: str) -> None:
    for reading in (BATCH, Reading()):
        assert form(b'{"a": 1}', kind, reading=reading) == Format(answer)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}\n{"b": 2}', Format(JSON)),
        (b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"b": 2}\r\n', Format(JSON)),
        (b'{"a": 1}\n{"b": ', Format(JSON)),
        (b'{"a": \n{"b": 2}\n{"c": 3}', Format(JSON)),
        (b"[1]\n[2]", Format(JSON)),
        (b'{"a": NaN}\n{"b": 2}', Format(JSON)),
        (b'{"a": 1}', Format(JSON, whole=True)),
        (b'\n{"a": 1}\n\n', Format(JSON, whole=True)),
        (b'{\n  "a": 1\n}', Format(JSON, whole=True)),
        (b"[\n1\n,\n2\n]\n", Format(JSON, whole=True)),
        (b'{\n"a": NaN\n}', Format(JSON, whole=True)),
        (b'{"a": ', Format(JSON, whole=True)),
        (b"", None),
        (b"\n\r\n  \n", None),
    ],
    ids=repr,
)
def test_json_is_lines_in_a_batch_job_alone(body: bytes, expected: Format | None) -> None:
    assert form(body, JSON) == expected
    assert form(body, JSON, reading=Reading()) is None


def test_other_types_are_never_lines() -> None:
    assert form(b"inputs\ntea\n", "text/csv") is None
    assert form(b"tea\ntea\n", "text/plain") is None


def test_a_script_that_reads_bodies_gets_them_whole_unless_the_client_asks() -> None:
    for kind in (LINES, JSON):
        assert form(b"1\n2", kind, own_reader=True) is None
        assert form(b"1\n2", f"{kind}; split=line", own_reader=True) is not None


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", JSON),
        ("*/*", JSON),
        (JSON, JSON),
        (LINES, LINES),
        ("application/jsonl", LINES),
        ("text/csv;q=0.1, application/x-ndjson", "application/x-ndjson"),
    ],
)
def test_the_answer_to_json_has_the_type_that_is_accepted(accept: str, answer: str) -> None:
    assert form(b"1\n2", JSON, accept) == Format(answer)
    assert form(b"1\n2", LINES, accept) == Format(LINES)


def test_lines_are_not_written_as_anything_else() -> None:
    for kind in (LINES, JSON):
        with pytest.raises(HTTPError, match="text/csv") as caught:
            form(b"1\n2", kind, "text/csv")
        assert (caught.value.status, caught.value.type) == (406, "UnacceptableType")
    # A single document may be, by a script.
    assert form(b"1", JSON, "text/csv") is None


def test_lines_in_another_charset_are_refused() -> None:
    with pytest.raises(HTTPError, match="utf-16") as caught:
        form(b"1\n2", f"{LINES}; charset=utf-16")
    assert caught.value.status == 415


def test_client_and_operator_say_what_becomes_of_bad_lines() -> None:
    mark = Reading(batch=True, mark=True)
    assert form(b"1", LINES, reading=mark).mark
    assert form(b"1", f"{LINES}; bad-lines=mark").mark
    assert not form(b"1", f"{LINES}; bad-lines=fail", reading=mark).mark


def test_lines_keep_their_numbers() -> None:
    body = b'\xef\xbb\xbf{"a": 1}\r\n\n  \r\n {"b": "\xe2\x80\xa8"} \n3'
    assert list(records(io.BytesIO(body), Format(LINES))) == [
        (1, b'{"a": 1}'),
        (4, b'{"b": "\xe2\x80\xa8"}'),
        (5, b"3"),
    ]
    assert list(records(io.BytesIO(b"{\n}\n"), Format(JSON, whole=True))) == [(1, b"{\n}")]


def test_lines_are_read_as_they_are_asked_for() -> None:
    body = io.BytesIO(b"1\n" * 100_000)
    assert next(records(body, Format(LINES))) == (1, b"1")
    assert body.tell() == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}', b'{"a": 1}'),
        (b'{"a": 1}\n', b'{"a": 1}'),
        (b'{\r\n "a": [1,\n 2.5e-07],\n "b": "\\n"\n}', b'{"a":[1,2.5e-07],"b":"\\n"}'),
        (b"[\n 123456789012345678901234567890\n]", b"[123456789012345678901234567890]"),
        ("a,b\n1,é\n".encode(), '"a,b\\n1,é\\n"'.encode()),
        (b"", b'""'),
    ],
    ids=repr,
)
def test_every_answer_is_one_line_of_json(body: bytes, expected: bytes) -> None:
    line = one_line(body, "text/csv", trusted=False)
    assert line == expected
    json.loads(line)
    assert len(line.splitlines()) == 1


def test_what_is_no_text_is_no_line() -> None:
    with pytest.raises(HTTPError, match="image/png") as caught:
        one_line(b"\x89PNG", "image/png", trusted=False)
    assert caught.value.status == 406


def test_failures_can_be_told_from_answers() -> None:
    line = error_line(422, "InvalidInput", "three\nlines")
    assert json.loads(line) == {"error": "three\nlines", "code": 422, "type": "InvalidInput"}
    assert b"\n" not in line
    assert failure(line) == "three\nlines"
    for answer in (b'{"error":"of the model"}', b'{"label":1}', b"[]"):
        assert failure(answer) is None
