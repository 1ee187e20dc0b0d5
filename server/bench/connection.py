"""A connection of a load's: one request on it at a time, with as little work for the client as there can be."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httptools


@dataclass(frozen=True)
class Shot:
    """A request that is sent over and over."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    path: str = "/invocations"

    def encoded(self, host: str = "localhost") -> bytes:
        """As it goes over the wire."""
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


@dataclass(frozen=True)
class Target:
    """Where a load goes."""

    port: int
    host: str = "127.0.0.1"
    tls: bool = False

    def context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context() if self.tls else None


class Connection(asyncio.Protocol):
    """Kept open from request to request; `answered` is called with every response, `lost` when it has closed."""

    def __init__(self, answered: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        self._answered, self._lost = answered, lost
        self._transport: Any = None
        self._parser: Any = None
        self.began = 0.0
        """When the request was due, as the load sees it."""
        self.shot = 0
        """Which request is, or was last, on the wire."""
        self.busy = False
        self.closing = False
        """Whether no further request may be sent on it."""
        self.status = 0
        self.content_type = ""
        self.retry_after = False
        """Whether the response said when to come again."""
        self.parts: list[bytes] = []
        """Of the response's body."""

    def send(self, encoded: bytes, shot: int, began: float) -> None:
        self.shot, self.began, self.busy = shot, began, True
        self.retry_after, self.content_type = False, ""
        self.parts.clear()
        self._transport.write(encoded)

    def close(self) -> None:
        """Without a call to `lost`."""
        self._lost = _nothing
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self.closing = True
        self._lost(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools calls this and what follows; lengths are compared first, being cheap."""
        length = len(name)
        if length == 12 and name.lower() == b"content-type":
            self.content_type = value.decode("latin-1")
        elif length == 11 and name.lower() == b"retry-after":
            self.retry_after = True

    def on_body(self, data: bytes) -> None:
        self.parts.append(data)

    def on_message_complete(self) -> None:
        self.status, self.busy = self._parser.get_status_code(), False
        if not self._parser.should_keep_alive():
            self.closing = True
            self._transport.abort()
        self._answered(self)


def told(body: bytes) -> str:
    """The message in the body of an error, in one line."""
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body[:300].decode("utf-8", "replace")
    return " ".join(message.split())[:300] or "nothing"


def _nothing(connection: Connection) -> None:
    """Nobody wants to know."""
