"""A job's files in S3."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from server.errors import ServerError
from server.transform.stores import RESULT, SUFFIXES, Item

try:
    import boto3
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError as error:
    raise ServerError("s3:// needs boto3: pip install 'triton-hf[s3]'") from error

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SCHEME = "s3://"
BLOCK = 4 * 2**20
"""Bytes read at once. A job may take hours for a file, and S3 closes connections that idle."""


class Prefix:
    """The objects below a prefix, or a single object."""

    def __init__(self, place: str) -> None:
        self._place, self._client = place, _client(place)
        self._bucket, self._key = _split(place)
        self.ignored = 0

    def items(self) -> list[Item]:
        folder = _folder(self._key)
        found = []
        for item in _list(self._client, self._place, self._key):
            key = item.name
            if key == self._key:
                return [_named(item, key.rpartition("/")[2])]
            if key.startswith(folder):
                found.append(_named(item, key.removeprefix(folder)))
        if not found:
            raise ServerError(f"{self._place}: there is no such object, and none below it")
        chosen = [item for item in found if item.name.lower().endswith(SUFFIXES)]
        self.ignored = len(found) - len(chosen)
        return sorted(chosen, key=lambda item: item.name)

    def open(self, item: Item) -> BinaryIO:
        return cast("BinaryIO", io.BufferedReader(_Object(self._client, item), BLOCK))

    def check(self, item: Item) -> None:
        """Nothing to do: every read asks for the version that was listed."""


class TargetPrefix:
    """A prefix for results. Each is gathered in a file without a name and uploaded when it is whole."""

    def __init__(self, place: str) -> None:
        self._place, self._client = place, _client(place)
        self._bucket, key = _split(place)
        self._folder = _folder(key)

    def finished(self) -> dict[str, float]:
        listed = _list(self._client, self._place, self._folder)
        return {item.name.removeprefix(self._folder): item.changed for item in listed if item.name.endswith(RESULT)}

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        place = f"{SCHEME}{self._bucket}/{self._folder}{name}"
        with tempfile.TemporaryFile() as file:
            yield cast("BinaryIO", file)
            file.seek(0)
            with _in_one_line(place):
                self._client.upload_fileobj(file, self._bucket, self._folder + name)


class _Object(io.RawIOBase):
    """An object, read in ranges; ServerError once it is not the version that was listed."""

    def __init__(self, client: Any, item: Item) -> None:
        self._client, self._item, self._at = client, item, 0
        self._bucket, self._key = _split(item.place)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        end = min(self._at + len(view), self._item.size)
        if end == self._at:
            return 0
        with _in_one_line(self._item.place):
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._key, Range=f"bytes={self._at}-{end - 1}", IfMatch=self._item.version
            )
            content = answer["Body"].read()
        view[: len(content)] = content
        self._at += len(content)
        return len(content)


def _client(place: str) -> Any:
    with _in_one_line(place):
        return boto3.client("s3")


def _list(client: Any, place: str, prefix: str) -> Iterator[Item]:
    """The objects whose keys begin with a prefix, called by their keys; without those that stand for folders."""
    bucket, _ = _split(place)
    with _in_one_line(place):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                key, changed = entry["Key"], entry["LastModified"].timestamp()
                if not key.endswith("/"):
                    yield Item(key, f"{SCHEME}{bucket}/{key}", entry["Size"], changed, entry["ETag"])


def _named(item: Item, name: str) -> Item:
    return Item(name, item.place, item.size, item.changed, item.version)


def _split(place: str) -> tuple[str, str]:
    bucket, _, key = place.removeprefix(SCHEME).partition("/")
    if not bucket:
        raise ServerError(f"{place} names no bucket")
    return bucket, key


def _folder(key: str) -> str:
    return f"{key.rstrip('/')}/" if key.rstrip("/") else ""


@contextmanager
def _in_one_line(place: str) -> Iterator[None]:
    """boto3's failures as ServerErrors."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in ("PreconditionFailed", "412"):
            raise ServerError(f"{place} was changed while it was read") from error
        raise ServerError(f"{place}: {error}") from error
    except (BotoCoreError, Boto3Error) as error:
        raise ServerError(f"{place}: {error}") from error
