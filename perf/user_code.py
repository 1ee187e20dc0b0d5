"""`python -m perf.user_code [CASE...]`: scripts under triton-hf and under the real toolkit, in alternating rounds.

Both serve the same folder with their default settings; the one that is not asked stays idle. Only requests are sent
that both answer with 200, and every answer is checked.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx

from perf.load import Round, Shot, measure, spread
from tests.models import builder
from tests.serving import Server
from tests.toolkit.cases import Case, load, names
from tests.toolkit.compare import difference, intended
from tests.toolkit.server import Toolkit

WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Measured:
    """The rounds of one case."""

    case: str
    toolkit: list[Round]
    ours: list[Round]

    def row(self) -> str:
        theirs, ours = [r.rate for r in self.toolkit], [r.rate for r in self.ours]
        ratios = [b / a if a else float("inf") for a, b in zip(theirs, ours, strict=True)]
        wrong = sum(len(r.wrong) for r in (*self.toolkit, *self.ours))
        columns = f"{self.case:<24}{spread(theirs, 0):>22}{spread(ours, 0):>22}{spread(ratios, 2):>22}"
        return columns + (f"  {wrong} wrong answers" if wrong else "")

    def stored(self) -> dict[str, Any]:
        return {
            name: [
                {"rate": r.rate, "median_ms": r.median_ms if r.latencies else None, "wrong": len(r.wrong)}
                for r in rounds
            ]
            for name, rounds in (("toolkit", self.toolkit), ("ours", self.ours))
        }


def shots(case: Case, server: Server | Toolkit) -> list[Shot]:
    """The case's valid requests with this server's answers, each of which is as the case wants it."""
    known = []
    with httpx.Client(base_url=server.url, timeout=120) as client:
        for request in case.requests:
            recorded = case.recording[request.name]
            meant = intended(recorded, request.ours)
            if recorded.status != 200 or meant.status != 200:
                continue
            answer = request.send(client)
            differs = difference(recorded if isinstance(server, Toolkit) else meant, answer)
            if differs is None:
                known.append(Shot(dict(request.headers), request.body, answer))
            else:
                click.echo(f"{case.name}: {request.name} is left out: {differs}", err=True)
    return known


def compare(case: Case, folder: Path, model: Path, rounds: int, seconds: float, clients: int) -> Measured:
    """Measure both servers in turn."""
    servers: list[Server | Toolkit] = []
    try:
        servers.append(Toolkit(model, folder / f"{case.name}-toolkit.log").wait())
        arguments = (str(model), "--cache", str(folder / "cache"))
        servers.append(Server(*arguments, log=folder / f"{case.name}.log", log_level="info").wait())
        answers = [shots(case, server) for server in servers]
        asked = [{(tuple(shot.headers.items()), shot.body) for shot in known} for known in answers]
        both = [[s for s in known if all((tuple(s.headers.items()), s.body) in a for a in asked)] for known in answers]
        if not both[0]:
            raise RuntimeError("no request that both answer with 200")
        results: tuple[list[Round], list[Round]] = ([], [])
        for number in range(-1, rounds):
            for server, known, into in zip(servers, both, results, strict=True):
                measured = measure(server.port, known, clients, seconds if number >= 0 else WARM_UP_SECONDS)
                for problem in measured.wrong[:1]:
                    click.echo(f"{case.name}: {type(server).__name__}: {problem}", err=True)
                if number >= 0:
                    into.append(measured)
        return Measured(case.name, *results)
    finally:
        for server in servers:
            server.stop()


@click.command()
@click.argument("cases", nargs=-1)
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Of each round.")
@click.option("--clients", default=32, show_default=True)
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write every round to a file too.")
def main(cases: tuple[str, ...], rounds: int, seconds: float, clients: int, file: Path | None) -> None:
    """Median requests a second, and the range of the rounds, of the toolkit and of triton-hf; their ratio by round."""
    click.echo(f"{'case':<24}{'toolkit req/s':>22}{'ours req/s':>22}{'ours / toolkit':>22}")
    kept: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root)
        build = builder(folder / "models")
        for name in cases or names():
            case = load(name)
            try:
                measured = compare(case, folder, case.build(folder / name, build), rounds, seconds, clients)
            except (RuntimeError, AssertionError) as error:
                click.echo(f"{name:<24}{error}")
                continue
            click.echo(measured.row())
            kept[name] = measured.stored()
    if file is not None:
        file.write_text(json.dumps(kept, indent=2) + "\n")


if __name__ == "__main__":
    main()
