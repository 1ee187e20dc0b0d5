"""AWS's event stream, `application/vnd.amazon.eventstream`: how a streamed answer reaches its clients."""

from __future__ import annotations

import json
import struct
from binascii import crc32
from collections.abc import Iterator, Mapping

MEDIA_TYPE = "application/vnd.amazon.eventstream"

MAX_PART = 2**20
"""Bytes of one event's payload; clients read a whole event before they show any of it."""

_STRING = 7
"""The type of a header's value. The format has others; the events of SageMaker's runtime use this one alone."""


def payload_parts(content: bytes) -> Iterator[bytes]:
    """Content as encoded `PayloadPart` events; none where there is none."""
    headers = {
        ":message-type": "event",
        ":event-type": "PayloadPart",
        ":content-type": "application/octet-stream",
    }
    for start in range(0, len(content), MAX_PART):
        yield encode(headers, content[start : start + MAX_PART])


def exception(kind: str, members: Mapping[str, str]) -> bytes:
    """The encoded event that ends a stream with an exception of the service's model."""
    headers = {
        ":message-type": "exception",
        ":exception-type": kind,
        ":content-type": "application/json",
    }
    return encode(headers, json.dumps(members).encode())


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message: lengths and their checksum, headers, payload, the checksum of it all; numbers are big-endian."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    message = b"".join((prelude, struct.pack("!I", crc32(prelude)), head, payload))
    return message + struct.pack("!I", crc32(message))


def _header(name: str, value: str) -> bytes:
    encoded_name, encoded_value = name.encode(), value.encode()
    return struct.pack(
        f"!B{len(encoded_name)}sBH{len(encoded_value)}s",
        len(encoded_name),
        encoded_name,
        _STRING,
        len(encoded_value),
        encoded_value,
    )
