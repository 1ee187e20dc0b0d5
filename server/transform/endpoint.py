"""The endpoint that a job asks: a body of lines to the lines of its answer, through pauses of the endpoint."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence

import urllib3

from server.errors import ServerError
from server.lines import BAD_LINES, COUNT_HEADER, JSON_LINES, SPLIT

CONTENT_TYPE = f"{JSON_LINES}; {SPLIT}=line; {BAD_LINES}=mark"
PATIENCE = 300.0
"""Seconds that an endpoint may refuse one body before the job gives up: models are brought back within that."""
PAUSE = 1.0
"""Seconds before the next try where the endpoint does not say."""
POLL = 0.1
CONNECT = 10.0
_TOO_MUCH = (413, 504)
"""What a body gets that is too long, or too long for the time it has; half of it may do."""


class Refused(Exception):
    """A body that the endpoint will not take as it is."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


class Endpoint:
    """`/invocations` of a triton-hf server, for several threads."""

    def __init__(self, url: str, name: str | None, connections: int, alive: Callable[[], None]) -> None:
        """`name` is that of the model where there are several. `alive` raises once waiting makes no sense."""
        self._url = url.rstrip("/")
        self._path = f"{self._url}/models/{name}/invoke" if name else f"{self._url}/invocations"
        self._alive = alive
        # Without a deadline for the answer: that is the server's to set.
        self._pool = urllib3.PoolManager(
            maxsize=connections, retries=False, timeout=urllib3.Timeout(connect=CONNECT, read=None)
        )

    def wait(self, timeout: float, *, starting: bool) -> None:
        """Returns once the endpoint is ready. ServerError where it is not within so many seconds.

        Nobody need listen yet where it is `starting`.
        """
        deadline = time.monotonic() + timeout
        while True:
            self._alive()
            try:
                status = self._pool.request("GET", f"{self._url}/ping").status
                problem = f"{self._url}/ping answers {status}"
            except urllib3.exceptions.HTTPError as error:
                status = 503 if starting else 0
                problem = f"{self._url} does not answer: {_reason(error)}"
            if status == 200:
                return
            if status != 503 or time.monotonic() > deadline:
                raise ServerError(problem)
            time.sleep(POLL)

    def ask(self, lines: Sequence[bytes]) -> list[bytes]:
        """Each line's answer, or its error object. Refused, or ServerError where the job must end."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self._alive()
            pause = PAUSE
            try:
                response = self._pool.request(
                    "POST", self._path, body=b"\n".join(lines), headers={"content-type": CONTENT_TYPE}
                )
            except urllib3.exceptions.HTTPError as error:
                problem = f"does not answer: {_reason(error)}"
            else:
                if response.status == 200:
                    return self._read(response, lines)
                kind, message = _failure(response)
                if response.status in _TOO_MUCH:
                    raise Refused(response.status, kind, message)
                problem = f"answers {response.status}: {message}"
                if response.status not in (502, 503):
                    raise ServerError(f"{self._path} {problem}")
                after = response.headers.get("retry-after", "")
                pause = float(after) if after.isdigit() else PAUSE
            if time.monotonic() + pause > deadline:
                raise ServerError(f"{self._path} {problem}")
            time.sleep(pause)

    def _read(self, response: urllib3.BaseHTTPResponse, lines: Sequence[bytes]) -> list[bytes]:
        answers = response.data.split(b"\n")
        if COUNT_HEADER not in response.headers or len(answers) != len(lines):
            raise ServerError(f"{self._path} does not answer line by line: it is no triton-hf, or an older one")
        return answers


def _failure(response: urllib3.BaseHTTPResponse) -> tuple[str, str]:
    try:
        told = json.loads(response.data)
        return str(told["type"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        return "HTTPError", response.data[:200].decode("utf-8", "replace").strip() or str(response.reason)


def _reason(error: Exception) -> str:
    """What is behind urllib3's words for it."""
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection was closed"
    system = re.search(r"\[Errno -?\d+\] (.+?)['\")]*$", str(error))
    return system[1] if system else str(error).rpartition(">: ")[2]
