"""The endpoint that is loaded: found by its address, and asked once before anything is measured."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import urllib3

from server.bench import bodies
from server.bench.connection import Shot, Target, told
from server.errors import ServerError

PATIENCE = 120.0
"""Seconds that the first answer may take."""
_NOT_FOR_IT = (400, 415, 422)
"""What a body gets that is for another task."""
_LOCAL = ("127.0.0.1", "localhost", "::1", "0.0.0.0")  # noqa: S104


@dataclass(frozen=True)
class Endpoint:
    """Where requests go. Its address as a string is how a user would write it."""

    target: Target
    path: str

    @classmethod
    def parse(cls, address: str, name: str | None = None) -> Self:
        """A port of this machine, HOST:PORT or a URL; `name` is a model's. ValueError where it is none of these."""
        if address.isdigit():
            address = f"127.0.0.1:{address}"
        parts = urlsplit(address if "://" in address else f"http://{address}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{address!r} is neither a port nor a URL like http://host:8080")
        tls = parts.scheme == "https"
        path = parts.path if parts.path not in ("", "/") else "/invocations"
        if name:
            path = f"/models/{name}/invoke"
        return cls(Target(parts.port or (443 if tls else 80), parts.hostname, tls), path)

    @property
    def base(self) -> str:
        host = f"[{self.target.host}]" if ":" in self.target.host else self.target.host
        return f"http{'s' if self.target.tls else ''}://{host}:{self.target.port}"

    @property
    def url(self) -> str:
        return self.base + self.path

    @property
    def local(self) -> bool:
        """Whether its processes are on this machine."""
        return self.target.host in _LOCAL

    def ask(self, shot: Shot) -> tuple[int, bytes]:
        """Status and body of one answer. ServerError where none comes."""
        pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=10.0, read=PATIENCE))
        try:
            response = pool.request("POST", self.url, body=shot.body, headers=dict(shot.headers))
        except urllib3.exceptions.NewConnectionError as error:
            raise ServerError(f"nobody answers at {self.base}: {_reason(error)}") from error
        except urllib3.exceptions.HTTPError as error:
            raise ServerError(f"{self.url} does not answer: {_reason(error)}") from error
        return response.status, response.data

    def accept(self, shots: list[Shot]) -> list[Shot]:
        """The user's requests, for this path. ServerError where the endpoint answers none of the first ones."""
        ready = bodies.to(self.path, shots)
        for shot in ready[:3]:
            status, body = self.ask(shot)
            if 200 <= status < 300:
                return ready
        raise ServerError(f"{self.url} answers {status}: {told(body)}")

    def choose(self, groups: Iterable[list[Shot]]) -> list[Shot]:
        """What is answered of the first group of which anything is. ServerError where none is."""
        first = ""
        for shots in groups:
            answered = []
            for shot in bodies.to(self.path, shots):
                status, body = self.ask(shot)
                if 200 <= status < 300:
                    answered.append(shot)
                elif status not in _NOT_FOR_IT:
                    raise ServerError(f"{self.url} answers {status}: {told(body)}")
                else:
                    first = first or f"{status}: {told(body)}"
            if answered:
                return answered
        raise ServerError(f"{self.url} takes none of the built-in requests ({first}); send your own with --texts")


def _reason(error: Exception) -> str:
    system = re.search(r"\[Errno -?\d+\] (.+?)['\")]*$", str(error))
    return system[1] if system else str(error).rpartition(": ")[2]
