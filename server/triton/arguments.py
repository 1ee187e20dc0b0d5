"""What the operator may say to tritonserver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_OURS = (
    "model-repository",
    "model-store",
    "model-control-mode",
    "load-model",
    "model-namespacing",
    "repository-poll-secs",
    "backend-directory",
    "disable-auto-complete-config",
    "strict-model-config",
    "exit-timeout-secs",
    "help",
    "allow-http",
    "http-address",
    "http-port",
    "reuse-http-port",
    "allow-grpc",
    "grpc-address",
    "grpc-port",
    "reuse-grpc-port",
    "grpc-use-ssl",
    "grpc-use-ssl-mutual",
    "grpc-restricted-protocol",
    "allow-metrics",
    "metrics-address",
    "metrics-port",
    "allow-sagemaker",
    "sagemaker-port",
    "sagemaker-safe-port-range",
    "allow-vertex-ai",
    "vertex-ai-port",
)
"""Options of tritonserver that the server sets itself, or that would open a port beside it."""
_SHARED_MEMORY = "python,shm-"
"""Backend configuration that has settings of its own, which count how many instances fit."""


@dataclass(frozen=True)
class TritonOptions:
    """How tritonserver runs; sizes in bytes."""

    shm_default: int = 2**20
    """Shared memory that an instance begins with."""
    shm_growth: int = 2**20
    """What it gets more at a time."""
    log_verbose: int = 0
    additional: tuple[str, ...] = ()
    """Arguments without a `conflict`."""

    @property
    def instance_bytes(self) -> int:
        """Shared memory to count for an instance: what it begins with, and as much again as it grows once."""
        return self.shm_default + self.shm_growth

    def arguments(self) -> list[str]:
        """As tritonserver takes them."""
        return [
            f"--backend-config=python,shm-default-byte-size={self.shm_default}",
            f"--backend-config=python,shm-growth-byte-size={self.shm_growth}",
            *([f"--log-verbose={self.log_verbose}"] if self.log_verbose else []),
            *self.additional,
        ]


def conflict(words: Sequence[str]) -> str | None:
    """Which of these arguments would undo what the server sets itself, in one line; None where all may pass."""
    for name, value in _options(words):
        # tritonserver takes the beginning of a name for the name.
        if any(ours.startswith(name) for ours in _OURS):
            return f"--{name} is not for you to set: the server decides what tritonserver loads and listens on"
        if "backend-config".startswith(name) and value.replace(" ", "").startswith(_SHARED_MEMORY):
            return f"--{name}={value} is not for you to set here: SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE is"
    return None


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Options and their values, which stand behind `=` or in the next word."""
    for word, following in zip(words, (*words, "")[1:], strict=True):
        if word.startswith("-"):
            name, _, value = word.lstrip("-").partition("=")
            yield name, value or ("" if following.startswith("-") else following)
