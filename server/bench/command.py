"""`triton-hf bench`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from server import settings
from server.errors import ServerError

if TYPE_CHECKING:
    from server.bench.endpoint import Endpoint
    from server.bench.measure import Rounds

HERE = "http://127.0.0.1:8080"
_WIDTH = 120
"""Columns of the table where no terminal says how many there are."""


@click.command()
@click.argument("address", metavar="[URL_OR_PORT]", required=False)
@click.option("--name", help="Name of the model, at an endpoint that has several; with --tune, of the entry.")
@click.option(
    "--repository",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --tune: the Triton model repository to put the tuned entry into; not needed where SOURCE is an entry.",
)
@settings.options(settings.BENCH)
@settings.options(settings.CONVERSION)
def bench(address: str | None, name: str | None, repository: Path | None, **given: Any) -> None:
    """Load a running endpoint, http://127.0.0.1:8080 unless URL_OR_PORT says another, and report how it fared.

    With --tune, no endpoint is needed: SOURCE, as `serve` takes it, is served with one setting after the other.
    """
    if given["tune"] is not None:
        if address is not None:
            raise click.UsageError("--tune starts its own servers: leave URL_OR_PORT out")
        if given["p99"] is None or given["texts"] is None:
            raise click.UsageError("--tune needs --p99 and --texts")
        from server.bench.tuning import tune

        tune(name, repository, given)
        return
    from server.bench import bodies
    from server.bench.endpoint import Endpoint

    try:
        endpoint = Endpoint.parse(address or HERE, name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if given["texts"] is None:
        shots = endpoint.choose(bodies.examples())
    else:
        shots = endpoint.accept(bodies.read(given["texts"]))
    _load(endpoint, shots, given)


def _load(endpoint: Endpoint, shots: Sequence[Any], given: dict[str, Any]) -> None:
    """Measure, show and write."""
    from converters.progress import for_console
    from server.bench.measure import Point, grid, report
    from server.bench.writing import keep

    progress = for_console()
    points = [Point(clients=count) for count in given["clients"]]
    points += [Point(rate=rate) for rate in given["rate"] or ()]
    rounds, seconds = given["rounds"], settings.seconds(given["seconds"], tuning=False)
    whole = len(points) * rounds * seconds * 1.2
    progress.note(f"{endpoint.url}: {len(shots)} requests over and over, about {whole:.0f} s in all")
    try:
        found = grid(
            endpoint,
            shots,
            points,
            seconds,
            rounds,
            lambda number, point: progress.note(f"round {number} of {rounds}: {point}"),
        )
    except OSError as error:
        raise ServerError(f"{endpoint.base} no longer answers: {error.strerror or error}") from error
    if not any(each.answered for each in found):
        problems = (each.problem for each in found)
        raise ServerError(f"{endpoint.url} answered nothing right: {next(filter(None, problems), 'it refused all')}")
    show(found)
    written = report(f"{endpoint.url} under load", rounds, seconds)
    name = given["texts"].name if given["texts"] else "built-in requests"
    written["workloads"] = [{"name": name, "task": "", "model": "", "what": f"{len(shots)} requests in turn"}]
    written["systems"] = [{"name": "endpoint", "version": "", "what": endpoint.url}]
    written["measurements"] = [each.measurement(name, "endpoint") for each in found]
    written["stages"] = [stages for each in found if (stages := each.stages(name, "endpoint"))]
    click.echo(keep(written, given["out"], "report"))


def show(found: Sequence[Rounds]) -> None:
    """A table of what was measured, on stdout."""
    from rich.console import Console
    from rich.table import Table

    from server.bench.reading import Measurement

    table = Table(box=None, pad_edge=False)
    for title in ("", "requests/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "MB", "batch", "errors", "503s"):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    for each in found:
        read = Measurement.of(each.measurement("", ""))
        cells = []
        for name, digits in (
            ("rate", 1),
            ("p50_ms", 1),
            ("p95_ms", 1),
            ("p99_ms", 1),
            ("cpu_ms_per_request", 2),
            ("rss_mb", 0),
            ("mean_batch", 1),
        ):
            stat = read.stat(name)
            cells.append(f"{stat.median:,.{digits}f}" if stat else "")
        table.add_row(str(each.point), *cells, str(read.total("errors")), str(read.total("rejected")))
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(table)
    problem = next(filter(None, (each.problem for each in found)), None)
    if problem is not None:
        click.echo(f"most errors: {problem}", err=True)
