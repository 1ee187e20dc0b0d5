"""Bodies between HTTP and Triton: small ones in memory, big ones in the spool from their first byte to their last."""

from __future__ import annotations

import asyncio
import errno
import io
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from huggingface_backend import wire
from server.errors import BodyTooLarge, OutOfSpace

PIECE = 2**20
"""Bytes read from and written to the spool at once."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body: `data`, or where it is too big for shared memory the name of a spool file."""

    data: bytes
    stored: str = ""

    def open(self, spool: wire.Spool) -> BinaryIO:
        """To be read from its beginning, and closed."""
        return spool.open(self.stored) if self.stored else io.BytesIO(self.data)

    def remove(self, spool: wire.Spool) -> None:
        if self.stored:
            spool.remove(self.stored)


async def read(request: Request, limit: int, spool: wire.Spool) -> Body:
    """A request's body, of at most `limit` bytes; whoever gets it removes it.

    BodyTooLarge as soon as it is known to be too large, OutOfSpace where it does not fit on the disk.
    """
    announced = next((value for name, value in request.scope["headers"] if name == b"content-length"), b"")
    if announced.isdigit() and int(announced) > limit:
        raise BodyTooLarge(f"the body has {int(announced)} bytes, {limit} are allowed")
    # Most bodies are there when their headers are.
    message = await request.receive()
    if message["type"] == "http.request" and not message.get("more_body") and len(message["body"]) <= wire.SPOOL_ABOVE:
        if len(message["body"]) > limit:
            raise BodyTooLarge(f"the body has more than the {limit} bytes that are allowed")
        return Body(message["body"])
    return await _gathered(message, request, limit, spool)


async def _gathered(message: Message, request: Request, limit: int, spool: wire.Spool) -> Body:
    gathered: list[bytes] = []
    size = total = 0
    name, file = "", None
    try:
        async for chunk in _chunks(message, request):
            gathered.append(chunk)
            size += len(chunk)
            total += len(chunk)
            if total > limit:
                raise BodyTooLarge(f"the body has more than the {limit} bytes that are allowed")
            if file is None and size > wire.SPOOL_ABOVE:
                name, file = spool.create_file()
            if file is not None and size > PIECE:
                await asyncio.to_thread(_write, file, gathered)
                gathered, size = [], 0
        if file is None:
            return Body(b"".join(gathered))
        await asyncio.to_thread(_write, file, gathered)
    except BaseException:
        if file is not None:
            file.close()
            spool.remove(name)
        raise
    file.close()
    return Body(b"", name)


async def _chunks(message: Message, request: Request) -> AsyncGenerator[bytes, None]:
    while message["type"] != "http.disconnect":
        yield message["body"]
        if not message.get("more_body"):
            return
        message = await request.receive()
    raise ClientDisconnect


class Chunks:
    """An answer in pieces, to be closed by whoever gets it, whether it was read to its end or not at all."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], on_close: Callable[[], None]) -> None:
        """`on_close` is called once."""
        self._chunks, self._on_close = chunks, on_close
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            try:
                await self._chunks.aclose()
            finally:
                self._on_close()


def sent(file: BinaryIO, on_close: Callable[[], None]) -> Chunks:
    """A file from where it stands to its end, closed with the chunks."""

    def close() -> None:
        file.close()
        on_close()

    return Chunks(_pieces(file), close)


async def _pieces(file: BinaryIO) -> AsyncGenerator[bytes, None]:
    while piece := await asyncio.to_thread(file.read, PIECE):
        yield piece


def _write(file: BinaryIO, chunks: list[bytes]) -> None:
    with on_disk():
        file.writelines(chunks)
        file.flush()


@contextmanager
def on_disk() -> Iterator[None]:
    """Writing in the block that the disk has no room for is OutOfSpace."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OutOfSpace("the server's disk has no room for it") from error
