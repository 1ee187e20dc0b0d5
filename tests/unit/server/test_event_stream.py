"""Our encoder against botocore's decoder."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer

from server import event_stream
from server.event_stream import MAX_PART


def decoded(pieces: Iterable[bytes]) -> list[Any]:
    buffer = EventStreamBuffer()
    found = []
    for piece in pieces:
        buffer.add_data(piece)
        found += list(buffer)
    return found


@pytest.mark.parametrize("size", [1, 17, MAX_PART - 1, MAX_PART, MAX_PART + 1, 3 * MAX_PART])
def test_parts_are_the_content_again(size: int) -> None:
    content = bytes(itertools.islice(itertools.cycle(range(256)), size))
    events = decoded(event_stream.payload_parts(content))
    assert b"".join(event.payload for event in events) == content
    assert [len(event.payload) for event in events[:-1]] == [MAX_PART] * (len(events) - 1)
    for event in events:
        assert event.headers == {
            ":message-type": "event",
            ":event-type": "PayloadPart",
            ":content-type": "application/octet-stream",
        }


def test_no_content_is_no_event() -> None:
    assert list(event_stream.payload_parts(b"")) == []


def test_messages_may_arrive_in_any_pieces() -> None:
    sent = b"".join(b"".join(event_stream.payload_parts(part)) for part in (b"tea", b"\x00", "茶".encode()))
    assert [event.payload for event in decoded(sent[i : i + 1] for i in range(len(sent)))] == [
        b"tea",
        b"\x00",
        "茶".encode(),
    ]


def test_an_exception_is_one_to_the_client() -> None:
    [event] = decoded([event_stream.exception("ModelStreamError", {"Message": "no tea"})])
    assert event.headers[":exception-type"] == "ModelStreamError"
    assert event.to_response_dict()["status_code"] == 400
    assert event.payload == b'{"Message": "no tea"}'


def test_a_changed_byte_is_noticed() -> None:
    [message] = event_stream.payload_parts(b"a cup of tea")
    for position in (0, 9, 20, len(message) - 8, len(message) - 1):
        broken = bytearray(message)
        broken[position] ^= 1
        with pytest.raises(ChecksumMismatch):
            decoded([bytes(broken)])
