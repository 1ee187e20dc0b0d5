"""A conversion while models are being served: in a process of its own, which gets only the time nobody else wants."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

from converters import ready
from converters.convert import Options
from converters.errors import ConversionError
from converters.tasks import canonical
from server import children

logger = logging.getLogger(__name__)

NICE = 19
MAX_LINE = 2**16


class Conversion:
    """`triton-hf convert`, as a child."""

    def __init__(self, cache: Path, options: Options, *, strict: bool, at_once: int | None = None) -> None:
        """`at_once` conversions run beside each other; as many as there are cores if not given."""
        self.cache = cache
        self._options = options
        self._arguments = ["--cache", str(cache), "--program", options.program]
        self._arguments.append("--no-fall-back" if strict else "--fall-back")
        self._arguments.append("--trust-remote-code" if options.trust_remote_code else "--no-trust-remote-code")
        for flag, value in (
            ("--task", options.task),
            ("--submit-directory", options.submit_directory),
            ("--precision", options.precision),
            ("--format", options.format),
            ("--calibration", options.calibration),
        ):
            if value is not None:
                self._arguments += [flag, value]
        self._free = asyncio.Semaphore(at_once or len(os.sched_getaffinity(0)))

    def ready(self, source: Path) -> Path | None:
        """The entry that a source is, None where it has to be converted.

        ConversionError or EntryError where it is one that cannot be served here.
        """
        found = ready.find(source) if source.is_dir() else None
        if found is not None:
            options = self._options
            task = None if options.task is None else canonical(options.task)
            ready.manifest(found, task, options.precision, options.format)
        return found

    async def run(self, name: str, source: Path) -> Path:
        """The entry of a folder or an archive, converted if it was not yet. ConversionError says why there is none."""
        # -P: the folder that the server was started in is none to import from.
        command = [sys.executable, "-P", "-m", "server.cli", "convert", str(source), *self._arguments]
        async with self._free:
            child = await children.start(command, limit=MAX_LINE)
            try:
                os.setpriority(os.PRIO_PROCESS, child.pid, NICE)
                assert child.stdout and child.stderr  # noqa: S101
                said, result = await asyncio.gather(_follow(name, child.stderr), child.stdout.read())
                code = await child.wait()
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
        if code != 0:
            raise ConversionError(said.removeprefix("triton-hf: ") or f"the conversion ended with {code}")
        return Path(result.decode().splitlines()[-1])


async def _follow(name: str, stream: asyncio.StreamReader) -> str:
    """Log what a conversion says; returns its last line."""
    last = ""
    while line := (await stream.readline()).decode("utf-8", "replace"):
        last = line.strip() or last
        logger.info("model %s: %s", name, last)
    return last
