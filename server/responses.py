"""Answers to HTTP: in pieces, and what a failure looks like."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from huggingface_backend.errors import MAX_MESSAGE
from server.bodies import Chunks
from server.errors import BodyTooLarge, HTTPError

logger = logging.getLogger(__name__)


class Whole:
    """An answer whose bytes are there, with the headers that it needs and no more."""

    def __init__(self, body: bytes, status: int, content_type: str, headers: Mapping[str, str]) -> None:
        self.status_code = status
        bodiless = status < 200 or status in (204, 304)
        self._body = b"" if bodiless else body
        raw = [(b"content-type", content_type.encode("latin-1"))]
        if not bodiless:
            raw.append((b"content-length", b"%d" % len(body)))
        raw += [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers.items()
            if name.lower() not in ("content-type", "content-length")
        ]
        self._start = {"type": "http.response.start", "status": status, "headers": raw}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send(self._start)
        await send({"type": "http.response.body", "body": self._body})


class Endpoint:
    """A request's function as an ASGI application, without the wrappers that a route puts around functions."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response | Whole]]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(Request(scope, receive, send))
        await response(scope, receive, send)


class Pieces(StreamingResponse):
    """An answer in pieces, closed also where its client has gone before the first of them."""

    def __init__(self, chunks: Chunks, status: int, headers: dict[str, str]) -> None:
        super().__init__(chunks, status, headers)
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._chunks.aclose()


def error_response(error: HTTPError) -> Response:
    """A failure as JSON with `code`, `type` and `message`."""
    body = {"code": error.status, "type": error.type, "message": str(error)[:MAX_MESSAGE]}
    headers = {"retry-after": str(error.retry_after)} if error.retry_after is not None else {}
    if error.status == BodyTooLarge.status:
        # What is left of the body is not worth reading.
        headers["connection"] = "close"
    return Response(json.dumps(body, ensure_ascii=False), error.status, headers=headers, media_type="application/json")


async def answered(handler: Callable[[Request], Awaitable[Response | Whole]], request: Request) -> Response | Whole:
    """What a handler answers, or the answer that its failure is."""
    try:
        return await handler(request)
    except HTTPError as error:
        return error_response(error)
    except ClientDisconnect:
        return Response(status_code=499)
    except asyncio.CancelledError:
        raise
    except Exception:
        logger.exception("unexpected failure")
        return error_response(HTTPError("unexpected failure in the server; see its log"))
