"""Settings of `triton-hf transform`."""

from __future__ import annotations

import click

TRANSFORM = (
    click.option("--model", help="The model, as `serve` takes it; it is served on this machine for the job."),
    click.option("--endpoint", help="URL of a running triton-hf server to use instead, such as http://host:8080."),
    click.option("--name", help="Name of the model, at an endpoint that has several."),
    click.option(
        "--lines-per-request",
        type=click.IntRange(1, 10_000),
        default=256,
        show_default=True,
        help="Lines that are sent in one request, of 1 MB at most unless one line is longer.",
    ),
    click.option(
        "--requests",
        type=click.IntRange(1, 100),
        default=4,
        show_default=True,
        help="Requests in flight. The job holds about twice as many, with their answers, in memory.",
    ),
    click.option(
        "--redo/--no-redo",
        default=False,
        help="Also do files again whose results are there and newer than they are.",
    ),
)
