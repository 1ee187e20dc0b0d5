"""What a job shows while it works: a bar on a terminal, a line now and then elsewhere; on stderr."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


class Display:
    """Told of every chunk, file and bad line."""

    def __init__(self, files: int, size: int, console: Console | None = None) -> None:
        """`files` of `size` bytes in all are to be done."""
        self._console = console or Console(stderr=True)
        self._files, self._size = files, size
        self._done = self._read = self._lines = 0
        self._began = self._told = 0.0
        self._bar = Progress(
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=size)

    def __enter__(self) -> Self:
        self._began = self._told = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, size: int, lines: int) -> None:
        """So many bytes and lines more are done."""
        self._read += size
        self._lines += lines
        self._bar.update(self._task, advance=size, description=self._state())
        if not self._console.is_terminal and time.monotonic() - self._told > EVERY:
            self._told = time.monotonic()
            share = f"{self._read / self._size:.0%}, " if self._size else ""
            self.note(f"{share}{self._state()}")

    def finished(self) -> None:
        """One file more is done."""
        self._done += 1
        self._bar.update(self._task, description=self._state())

    def note(self, text: str) -> None:
        """A line of its own, as it is."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def summary(self) -> str:
        seconds = time.monotonic() - self._began
        return f"{self._state()}, {seconds:.1f} s"

    def _state(self) -> str:
        seconds = max(time.monotonic() - self._began, 1e-3)
        return f"{self._done} of {self._files} files, {self._lines:,} lines, {self._lines / seconds:,.0f} lines/s"
