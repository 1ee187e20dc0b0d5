"""A call and its answer, and the messages of Triton that they travel in."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from tritonclient.grpc import service_pb2 as pb

from huggingface_backend import wire
from huggingface_backend.errors import parse_wire
from server.errors import BackendFailure, HTTPError

if TYPE_CHECKING:
    from server.triton.client import Parts

_LENGTH = struct.Struct("<I")
_PADDING = b"\0\0\0\0"
"""An empty BYTES item."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request on the wire."""

    model: str
    body: bytes
    content_type: str
    accept: str
    attributes: str = ""
    body_file: str = ""
    alone: bool = False
    """As wide as a whole batch, so that Triton puts nothing beside it."""
    in_parts: bool = False
    """Whether the caller reads an answer that comes in parts."""


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    content_type: str
    attributes: Mapping[str, Any]
    body_file: str
    rest: Parts | None = None
    """The parts that follow this one, for who closes them; None where it is the only one, or the last."""


def request_of(calls: Sequence[Call]) -> pb.ModelInferRequest:
    """As gRPC takes it."""
    request = pb.ModelInferRequest(model_name=calls[0].model)
    width, tensors = _tensors(calls)
    for name, packed in tensors.items():
        request.inputs.add(name=name, datatype="BYTES", shape=(width, 1))
        request.raw_input_contents.append(packed)
    return request


def body_of(calls: Sequence[Call]) -> tuple[bytes, int]:
    """As HTTP takes it, and the length of the JSON at its beginning."""
    width, tensors = _tensors(calls)
    inputs = [
        {
            "name": name,
            "datatype": "BYTES",
            "shape": [width, 1],
            "parameters": {"binary_data_size": len(packed)},
        }
        for name, packed in tensors.items()
    ]
    header = orjson.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}})
    return b"".join([header, *tensors.values()]), len(header)


def answers_in(body: bytes, header: int) -> list[Answer | HTTPError]:
    """The answers in a response over HTTP whose first `header` bytes are JSON."""
    items = {}
    at = header
    for output in orjson.loads(body[:header])["outputs"]:
        end = at + output["parameters"]["binary_data_size"]
        items[output["name"]] = body[at:end]
        at = end
    return _answers(items)


def _tensors(calls: Sequence[Call]) -> tuple[int, dict[str, bytes]]:
    """The rows of a request, and its inputs as BYTES tensors."""
    width = wire.MAX_BATCH_SIZE if calls[0].alone else len(calls)
    padding = _PADDING * (width - len(calls))
    values = {
        wire.BODY: [call.body for call in calls],
        wire.CONTENT_TYPE: [call.content_type.encode() for call in calls],
        wire.ACCEPT: [call.accept.encode() for call in calls],
        wire.ATTRIBUTES: [call.attributes.encode() for call in calls],
        wire.BODY_FILE: [call.body_file.encode() for call in calls],
    }
    return width, {
        name: b"".join([part for value in column for part in (_LENGTH.pack(len(value)), value)]) + padding
        for name, column in values.items()
        if name in wire.INPUTS or any(column)
    }


def answers_of(response: pb.ModelInferResponse) -> list[Answer | HTTPError]:
    """The answers in a response over gRPC."""
    return _answers(dict(zip((each.name for each in response.outputs), response.raw_output_contents, strict=True)))


def _answers(items: Mapping[str, bytes]) -> list[Answer | HTTPError]:
    columns = [_unpack(items[name]) for name in wire.OUTPUTS]
    return [_answer(*row) for row in zip(*columns, strict=True)]


def _unpack(raw: bytes) -> list[bytes]:
    """The items of a BYTES tensor: each has its length before it."""
    items, at = [], 0
    while at < len(raw):
        end = at + 4 + _LENGTH.unpack_from(raw, at)[0]
        items.append(raw[at + 4 : end])
        at = end
    return items


def _answer(body: bytes, content_type: bytes, attributes: bytes, body_file: bytes) -> Answer | HTTPError:
    """A row of the outputs, which are in the order of `wire.OUTPUTS`."""
    stated = json.loads(attributes) if attributes else {}
    if "error" in stated:
        return BackendFailure(*(parse_wire(stated["error"]) or (500, "InternalError", "a failure that cannot be read")))
    return Answer(body, content_type.decode(), stated, body_file.decode())
