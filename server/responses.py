"""Answers to HTTP: in pieces, and what a failure looks like."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from huggingface_backend.errors import MAX_MESSAGE
from server.bodies import Chunks
from server.errors import BodyTooLarge, HTTPError

logger = logging.getLogger(__name__)


class Endpoint:
    """A request's function as an ASGI application, without the wrappers that a route puts around functions."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response]]) -> None:
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


async def answered(handler: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
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
