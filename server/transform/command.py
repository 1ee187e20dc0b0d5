"""`triton-hf transform`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click

from server import settings
from server.errors import ServerError

STARTUP = 600.0
"""Seconds that a model may take to load."""


@click.command()
@click.argument("inputs", metavar="IN")
@click.argument("outputs", metavar="OUT")
@settings.options(settings.TRANSFORM)
@settings.options(settings.CONVERSION)
def transform(inputs: str, outputs: str, **given: Any) -> None:
    """Send every line of IN through a model; the answers of FILE are the lines of OUT/FILE.out.

    IN is a file of JSON lines, a folder or an s3:// prefix, OUT a folder or an s3:// prefix. Each line is the body of a
    request. A line that fails is reported, and an object with `error` stands in its place; the exit code is then 1.
    A job that was interrupted goes on where it was when it is started again: files that have a result are left out.
    """
    if (given["model"] is None) == (given["endpoint"] is None):
        raise click.UsageError("one of --model and --endpoint is needed")
    if given["endpoint"] and not given["endpoint"].startswith(("http://", "https://")):
        raise click.UsageError(f"{given['endpoint']!r} is no URL like http://host:8080")
    from converters.progress import for_console
    from server.transform import job, stores
    from server.transform.display import Display
    from server.transform.endpoint import Endpoint
    from server.transform.local import LocalServer

    source, target = stores.source(inputs), stores.target(outputs)
    items, finished = job.select(source, target, redo=given["redo"])
    display = Display(len(items), sum(item.size for item in items))
    for count, what in ((source.ignored, "left out: no name of lines"), (finished, "finished before")):
        if count:
            display.note(f"{count} {'file' if count == 1 else 'files'} {what}")
    if not items:
        return
    with ExitStack() as stack:
        if given["model"]:
            entry = _converted(given)
            with for_console().stage("starting the server"):
                server = stack.enter_context(LocalServer(entry))
                endpoint = Endpoint(server.url, None, given["requests"], server.check)
                endpoint.wait(STARTUP, starting=True)
        else:
            endpoint = Endpoint(given["endpoint"], given["name"], given["requests"], lambda: None)
            endpoint.wait(STARTUP, starting=False)
        pace = job.Pace(given["lines_per_request"], given["requests"])
        with stack.enter_context(display):
            outcome = job.run(source, target, items, endpoint, pace, display)
    display.note(display.summary())
    if outcome.bad:
        raise ServerError(f"{outcome.bad} of {outcome.lines} lines failed; they are listed above")


def _converted(given: dict[str, Any]) -> str:
    """The entry of --model, converted if it was not yet."""
    from converters.convert import Converter
    from converters.progress import for_console
    from server.cli import conversion_options, require_one_runtime

    require_one_runtime()
    artifact = Converter(given["cache"] or settings.default_cache()).convert(
        given["model"],
        conversion_options(given),
        for_console(),
        fall_back=True,
        revision=given["revision"],
        token=given["token"],
    )
    return str(artifact.path)
