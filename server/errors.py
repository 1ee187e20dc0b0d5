"""What goes wrong in the server, and the one table from failure to HTTP status.

ServerError                  the process cannot serve: one line, exit code 1
└── NoRoomError              for want of memory or shared memory
HTTPError                    a request's end, drawn as JSON
├── BadRequest               400
├── UnknownModel             404
├── AlreadyLoaded            409
├── BodyTooLarge             413
├── Unservable               422  a model that cannot be converted or loaded
├── BackendDied              500  twice, or once where it must not be tried again
├── Unavailable              503  with Retry-After
├── DeadlineExceeded         504
├── OutOfSpace               507
├── LineFailed               as its line of many failed
└── BackendFailure           as the backend said
"""

from __future__ import annotations


class ServerError(Exception):
    """Why the server cannot start or go on; the message is one line for its owner."""


class NoRoomError(ServerError):
    """Memory or shared memory is short."""


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


class AlreadyLoaded(HTTPError):
    status = 409


class BodyTooLarge(HTTPError):
    status = 413


class Unservable(HTTPError):
    """A model that cannot be converted or loaded, for a reason that lies in it."""

    status = 422


class BackendDied(HTTPError):
    status = 500


TOO_MANY = "too many requests are waiting already"


class Unavailable(HTTPError):
    status = 503
    retry_after = 1


class DeadlineExceeded(HTTPError):
    status = 504


class OutOfSpace(HTTPError):
    """Memory, shared memory or disk is short."""

    status = 507


class BackendFailure(HTTPError):
    """The status and type that the backend chose (`huggingface_backend.errors`)."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self._kind = kind

    @property
    def type(self) -> str:
        return self._kind


class LineFailed(HTTPError):
    """A body of lines, as one of its lines ended."""

    def __init__(self, number: int, reason: HTTPError) -> None:
        """`number` counts the body's lines from 1."""
        super().__init__(f"line {number}: {reason}")
        self.status, self.retry_after = reason.status, reason.retry_after
        self._kind = reason.type

    @property
    def type(self) -> str:
        return self._kind
