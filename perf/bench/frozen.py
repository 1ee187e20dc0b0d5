"""Servers that spin when nobody asks them, kept from it while others are measured."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

import psutil


def freeze(processes: Sequence[psutil.Process]) -> None:
    """Keep processes from running until `thaw`."""
    _signal(processes, signal.SIGSTOP)


def thaw(processes: Sequence[psutil.Process]) -> None:
    """Let frozen processes run again."""
    _signal(processes, signal.SIGCONT)


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            continue
