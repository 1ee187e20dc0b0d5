"""Processes that the server starts while it serves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from server import children

FORKS: list[int] = []
os.register_at_fork(before=lambda: FORKS.append(1))


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())  # type: ignore[arg-type]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_nothing_forks_a_copy_of_the_server() -> None:
    async def loops_own() -> int:
        return await (await asyncio.create_subprocess_exec("true")).wait()

    async def ours() -> int:
        return await (await children.start(["true"], limit=100)).wait()

    FORKS.clear()
    assert run(ours) == 0
    assert not FORKS
    # What it is for: uvloop forks, and whatever is loaded has its handlers run.
    assert run(loops_own) == 0
    assert FORKS


def test_what_it_writes_and_how_it_ends() -> None:
    async def main() -> tuple[bytes, bytes, int, int | None]:
        code = "import os, sys; print(os.environ['TEA']); print('rain', file=sys.stderr); sys.exit(3)"
        child = await children.start(python(code), limit=100, environ={"TEA": "black"})
        assert child.stdout and child.stderr
        before = child.returncode
        written = await asyncio.gather(child.stdout.read(), child.stderr.readline())
        return (*written, await child.wait(), before)

    assert run(main) == (b"black\n", b"rain\n", 3, None)


def test_both_outputs_in_one() -> None:
    async def main() -> bytes:
        code = "import os; os.write(1, b'tea '); os.write(2, b'rain')"
        child = await children.start(python(code), limit=100, stderr=subprocess.STDOUT)
        assert child.stdout and child.stderr is None
        read = await child.stdout.read()
        await child.wait()
        return read

    assert run(main) == b"tea rain"


@pytest.mark.parametrize(("method", "expected"), [("kill", -signal.SIGKILL), ("terminate", -signal.SIGTERM)])
def test_ended_early(method: str, expected: int) -> None:
    async def main() -> tuple[int, int]:
        child = await children.start(["sleep", "60"], limit=100)
        getattr(child, method)()
        first, second = await asyncio.gather(child.wait(), child.wait())
        child.close()
        return first, second

    assert run(main) == (expected, expected)


def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.children.bound", list)

    async def main() -> None:
        await children.start(["/nowhere/at/all"], limit=100)

    with pytest.raises(FileNotFoundError):
        run(main)
