"""A connection: uvicorn's, but that invocations beyond what the server takes are refused once their headers are read.

An endpoint that is asked for several times what it can do must not lose its time to saying no. Refused here, a request
costs about a fifth of what it costs once it has become a task, and its body is read past and never kept.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.errors import TOO_MANY, Unavailable

Admits = Callable[[bytes], bool]
"""Whether there is room for a POST to a request target, which is taken as come if there is."""


_HEAD = b"HTTP/1.1 "
_COPIED = 65_536
"""Bytes up to which copying is cheaper than handing over two buffers."""


class _Corked:
    """A transport that sends an answer's head together with what is written in the same turn of the event loop.

    uvicorn writes them one after the other, and each write is a system call and a packet.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            if len(data) < _COPIED:
                self._transport.write(head + data)
            else:
                self._transport.writelines((head, data))
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def write_whole(self, answer: bytes) -> None:
        """Send head and body at once."""
        self._transport.write(answer)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


class _Refused:
    """What uvicorn takes for a request that it has answered."""

    response_complete = True
    disconnected = False

    def __init__(self) -> None:
        self.message_event = asyncio.Event()


class Front(HttpToolsProtocol):
    """Stays usable for the client's next request when one was refused."""

    def __init__(self, *arguments: Any, admits: Admits, refused: Callable[[], object], **settings: Any) -> None:
        """`refused` is called for every request that is refused here."""
        super().__init__(*arguments, **settings)
        self._admits, self._count = admits, refused
        self._stays = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Corked(transport))  # type: ignore[arg-type]

    def on_headers_complete(self) -> None:
        if self._refusable() and not self._admits(self.url):
            self._refuse()
        else:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not isinstance(self.cycle, _Refused):
            super().on_message_complete()
        elif self._stays:
            self.on_response_complete()
        else:
            # Not before the body is there: what is closed with bytes unread may lose its answer on the way.
            self.transport.close()

    def _refusable(self) -> bool:
        # A request that came before the last one was answered waits for its turn.
        idle = self.cycle is None or self.cycle.response_complete
        return idle and self.parser.get_method() == b"POST" and not self.parser.should_upgrade()

    def _refuse(self) -> None:
        self._count()
        self.cycle = _REFUSED  # type: ignore[assignment]
        # Who asks before sending a body sends none now, and the next request would be taken for it.
        self._stays = self.parser.should_keep_alive() and not self.expect_100_continue
        self.transport.write_whole(_STAYS if self._stays else _CLOSES)  # type: ignore[attr-defined]
        if self.expect_100_continue:
            self.transport.close()


def _answer(*further: str) -> bytes:
    error = Unavailable(TOO_MANY)
    body = json.dumps({"code": error.status, "type": error.type, "message": str(error)}).encode()
    head = (
        f"HTTP/1.1 {error.status} Service Unavailable",
        "content-type: application/json",
        f"content-length: {len(body)}",
        f"retry-after: {error.retry_after}",
    )
    return "\r\n".join([*head, *further, "", ""]).encode() + body


_STAYS, _CLOSES = _answer(), _answer("connection: close")
_REFUSED = _Refused()
