"""What a conversion shows while it works."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

from rich.console import Console

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Told of each stage; `watch` is a file or folder whose growth is worth showing."""

    def stage(self, name: str, watch: Path | None = None) -> AbstractContextManager[None]: ...

    def note(self, text: str) -> None: ...


class Lines:
    """A line a stage, for logs and pipes."""

    def __init__(self, write: Callable[[str], object] = logger.info) -> None:
        self._write = write

    @contextmanager
    def stage(self, name: str, watch: Path | None = None) -> Iterator[None]:
        self._write(f"{name} …")
        started, before = time.monotonic(), size(watch)
        yield
        grown = size(watch) - before
        detail = f", {grown / 1e6:.1f} MB" if grown > 0 else ""
        self._write(f"{name}: done in {time.monotonic() - started:.1f} s{detail}")

    def note(self, text: str) -> None:
        self._write(text)


class Terminal:
    """One live line with the stage, its seconds and its size; finished stages stay above it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str, watch: Path | None = None) -> Iterator[None]:
        started, before = time.monotonic(), size(watch)

        def line() -> str:
            grown = size(watch) - before
            detail = f"  {grown / 1e6:8.1f} MB" if grown > 0 else ""
            return f"{name}  [cyan]{time.monotonic() - started:5.1f} s[/]{detail}"

        stopped = Event()
        with self._console.status(line()) as status:

            def refresh() -> None:
                while not stopped.wait(0.2):
                    status.update(line())

            thread = Thread(target=refresh, daemon=True)
            thread.start()
            try:
                yield
            finally:
                stopped.set()
                thread.join()
        self._console.print(f"[green]✓[/] {line()}")

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)


def for_console() -> Progress:
    """A live display on a terminal, plain lines elsewhere; both on stderr."""
    console = Console(stderr=True)
    if console.is_terminal:
        return Terminal(console)
    return Lines(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))


def size(path: Path | None) -> int:
    """Bytes below a path; what vanishes while it is counted counts nothing."""
    if path is None or not path.exists():
        return 0
    files = [path] if path.is_file() else path.rglob("*")
    total = 0
    for file in files:
        try:
            if file.is_file() and not file.is_symlink():
                total += file.stat().st_size
        except OSError:
            continue
    return total
