"""What Triton's failures mean."""

from __future__ import annotations

import grpc

from huggingface_backend.errors import parse_wire
from server.errors import BackendFailure, DeadlineExceeded, HTTPError

_NOT_REACHED = ("unknown model", "is not ready", "failed to connect", "Connection refused")


class ProcessDied(Exception):
    """The backend died under a call."""

    generation = 0
    """Which start of the model's processes it was, where the caller knows."""


class TritonDied(ProcessDied):
    """tritonserver itself died under a call, which no model's input makes it do."""


class NotReached(Exception):
    """There was no process to take a call; it has cost nothing and may be sent again."""

    generation = 0


class LoadFailed(Exception):
    """A model that cannot be loaded; the message is one line."""


def failure(code: grpc.StatusCode | None, details: str, timeout: float = 0) -> HTTPError | ProcessDied | NotReached:
    """What a failed call's code, where it has one, and Triton's words mean."""
    ours = parse_wire(details)
    if ours is not None:
        return BackendFailure(*ours)
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"no answer within {timeout:.0f} s")
    # A model between its unload and its load is unknown or not ready, a tritonserver between two runs refuses.
    if code == grpc.StatusCode.NOT_FOUND or any(text in details for text in _NOT_REACHED):
        return NotReached(details)
    if "Stub process" in details:
        return ProcessDied(details)
    if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return TritonDied(details)
    return BackendFailure(500, "TritonError", details.splitlines()[0] if details else str(code))


def load_reason(details: str) -> str:
    """The last cause in Triton's chain of reasons for a failed load, in one line."""
    lines = [line.strip() for line in details.splitlines() if line.strip()]
    reason = next((line for line in lines if "TritonModelException" in line), lines[0] if lines else "no reason given")
    return reason.rpartition("TritonModelException: ")[2].rpartition("Internal: ")[2]
