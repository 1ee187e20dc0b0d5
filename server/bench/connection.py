"""A connection of a load's: one request on it at a time, with as little work for the client as there can be."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from server import connection


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


class Connection(connection.Connection):
    """`answered` is called with every response, `lost` when the connection has closed."""

    def __init__(self, answered: Callable[[Connection], None], lost: Callable[[Connection], None]) -> None:
        super().__init__()
        self._answered, self._on_loss = answered, lost
        self.began = 0.0
        """When the request was due, as the load sees it."""
        self.shot = 0
        """Which request is, or was last, on the wire."""
        self.content_type = ""
        self.retry_after = False
        """Whether the response said when to come again."""

    def send(self, encoded: bytes, shot: int, began: float) -> None:
        self.shot, self.began = shot, began
        self.retry_after, self.content_type = False, ""
        self.write(encoded)

    def answered(self) -> None:
        self._answered(self)

    def lost(self) -> None:
        self._on_loss(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools calls this; lengths are compared first, being cheap."""
        length = len(name)
        if length == 12 and name.lower() == b"content-type":
            self.content_type = value.decode("latin-1")
        elif length == 11 and name.lower() == b"retry-after":
            self.retry_after = True


def told(body: bytes) -> str:
    """The message in the body of an error, in one line."""
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        message = body[:300].decode("utf-8", "replace")
    return " ".join(message.split())[:300] or "nothing"
