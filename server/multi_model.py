"""The routes of multi-model mode: what a platform asks to have models loaded, listed and unloaded."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from huggingface_backend import wire
from server import bodies
from server.errors import BadRequest
from server.library import Library
from server.responses import Endpoint, answered

MAX_BODY = 2**16
"""Bytes of a POST /models."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


class MultiModel:
    """The calls of a multi-model endpoint; `/models/{name}/invoke` is the adapter's own, in every mode."""

    def __init__(self, library: Library, spool: wire.Spool) -> None:
        self._library, self._spool = library, spool

    def routes(self) -> list[Route]:
        return [
            Route("/models", _answering(self.load), methods=["POST"]),
            Route("/models", _answering(self.list), methods=["GET"]),
            Route("/models/{name}", _answering(self.describe), methods=["GET"]),
            Route("/models/{name}", _answering(self.unload), methods=["DELETE"]),
        ]

    def close(self) -> None:
        """Load nothing any more."""
        self._library.draining = True

    async def load(self, request: Request) -> Response:
        body = await bodies.read(request, MAX_BODY, self._spool)
        name, url = _named(body.data)
        await self._library.load(name, url)
        return JSONResponse(self._library.describe(name))

    async def list(self, request: Request) -> Response:
        return JSONResponse(self._library.page(request.query_params.get("next_page_token", "")))

    async def describe(self, request: Request) -> Response:
        return JSONResponse(self._library.describe(request.path_params["name"]))

    async def unload(self, request: Request) -> Response:
        name = request.path_params["name"]
        described = self._library.describe(name)
        await self._library.unload(name)
        return JSONResponse(described)


def _answering(handler: Callable[[Request], Awaitable[Response]]) -> Endpoint:
    return Endpoint(partial(answered, handler))


def _named(body: bytes) -> tuple[str, str]:
    """`model_name` and `url` of a POST /models."""
    try:
        data = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadRequest('the body must be an object like {"model_name": "...", "url": "..."}')
    name, url = data.get("model_name"), data.get("url")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise BadRequest("model_name must be letters, digits, dots, dashes and underscores, 255 at most")
    if not isinstance(url, str):
        raise BadRequest("url must be the absolute path of a model's folder or archive")
    return name, url
