"""What goes wrong in the server, and the one table from failure to HTTP status.

ServerError                  the process cannot serve: one line, exit code 1
HTTPError                    a request's end, drawn as JSON
├── BadRequest               400
├── UnknownModel             404
├── BodyTooLarge             413
├── BackendDied              500  twice, or once where it must not be tried again
├── Unavailable              503  with Retry-After
├── DeadlineExceeded         504
└── BackendFailure           as the backend said
"""

from __future__ import annotations


class ServerError(Exception):
    """Why the server cannot start or go on; the message is one line for its owner."""


class HTTPError(Exception):
    status = 500
    retry_after: int | None = None
    """Seconds."""

    def __init__(self, message: str) -> None:
        super().__init__(message)

    @property
    def type(self) -> str:
        return type(self).__name__


class BadRequest(HTTPError):
    status = 400


class UnknownModel(HTTPError):
    status = 404


class BodyTooLarge(HTTPError):
    status = 413


class BackendDied(HTTPError):
    status = 500


class Unavailable(HTTPError):
    status = 503
    retry_after = 1


class DeadlineExceeded(HTTPError):
    status = 504


class BackendFailure(HTTPError):
    """The status and type that the backend chose (`huggingface_backend.errors`)."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self._kind = kind

    @property
    def type(self) -> str:
        return self._kind
