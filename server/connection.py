"""A client's connection over HTTP/1.1: one request on it at a time, with as little work as there can be."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools


class Connection(asyncio.Protocol):
    """Kept open from request to request. Subclasses are told of every response and of the connection's end."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._parser: Any = None
        self._ended = False
        self.busy = False
        """Whether an answer is waited for."""
        self.closing = False
        """Whether no further request may be sent on it."""
        self.status = 0
        self.parts: list[bytes] = []
        """Of the response's body."""

    def answered(self) -> None:
        """The response is there."""

    def lost(self) -> None:
        """The connection has closed, and not by `close`."""

    def write(self, request: bytes) -> None:
        """Send a whole request; the last one must have been answered."""
        self.busy = True
        self.parts.clear()
        self._transport.write(request)

    def close(self) -> None:
        """Without a call to `lost`."""
        self._ended = self.closing = True
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
        if not self._ended:
            self.lost()

    def on_body(self, data: bytes) -> None:
        """httptools calls this and what follows."""
        self.parts.append(data)

    def on_message_complete(self) -> None:
        self.status, self.busy = self._parser.get_status_code(), False
        if not self._parser.should_keep_alive():
            self.closing = True
            self._transport.abort()
        self.answered()
