"""`triton-hf bench --tune`: settings tried on real servers, and the best one written into the entry."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from converters import ready
from converters.entry import CONFIG, VERSION, place
from converters.errors import ConversionError
from converters.progress import Progress, for_console
from huggingface_backend.manifest import Manifest
from server import settings
from server.bench import bodies
from server.bench.candidates import Candidate, ladder, layouts, stated
from server.bench.connection import Shot
from server.bench.endpoint import Endpoint
from server.bench.evidence import Compared, Goal, Result, tell, worded, write
from server.bench.measure import Point, Rounds
from server.bench.search import Trial, climb, descend
from server.bench.watch import Watch
from server.errors import ServerError
from server.transform import endpoint as ping
from server.transform.local import LocalServer

STARTUP = 600.0
"""Seconds that a model may take to load."""
START_GUESS = 3.0
"""Seconds that it takes a converted one, for reckoning what there is time for."""
NAME = "model"


def tune(name: str | None, repository: Path | None, given: dict[str, Any]) -> None:
    """Tune an entry, as the settings say, and tell what came of it. ServerError where it cannot be served."""
    progress = for_console()
    shots = bodies.read(given["texts"])
    entry = _entry(name, repository, given, progress)
    seconds = settings.seconds(given["seconds"], tuning=True)
    goal = Goal(given["p99"], given["clients"][-1], seconds, given["rounds"], 60 * given["minutes"])
    with tempfile.TemporaryDirectory(prefix="triton-hf-tune-") as folder:
        tuner = Tuner(entry, Path(folder), shots, goal, progress)
        result = tuner.run()
    tell(result, goal, write(entry, result, goal, given["texts"].name, len(shots)))


class Tuner:
    """Tries settings of one entry, a server each."""

    def __init__(self, entry: Path, folder: Path, shots: Sequence[Shot], goal: Goal, progress: Progress) -> None:
        self._entry, self._folder, self._shots = entry, folder, shots
        self.goal, self._progress = goal, progress
        self._config = (entry / CONFIG).read_text("utf-8")
        self._manifest = Manifest.read(entry / VERSION)
        self._began = time.monotonic()
        self._longest = 0.0
        """Seconds that the longest trial took."""
        self._first = 1
        """Clients that a trial begins with."""
        self._trials: list[Trial] = []
        self._measured: dict[str, list[Rounds]] = {}
        self._out_of_time = False

    @property
    def stated(self) -> dict[str, str]:
        """The parameters that the entry sets."""
        return stated(self._config)

    def run(self) -> Result:
        """Search, then compare what was found with what stands. ServerError where the entry as it is cannot serve."""
        start = self._try(Candidate())
        if start.score is None:
            raise ServerError(f"{self._entry.name} cannot be measured as it is: {start.problem}")
        bound = ladder(self._manifest, self.stated)
        cores = len(os.sched_getaffinity(0))
        best = descend(start, layouts(self._manifest, cores), bound, self._attempt)
        before = Compared(start.candidate, Rounds(Point(start.score.clients)))
        after = before
        if best is not start:
            assert best.score is not None  # noqa: S101
            after = Compared(best.candidate, Rounds(Point(best.score.clients)))
            self._compare([before, after])
        else:
            self._compare([before])
        first, last = before.score(self.goal.p99_ms), after.score(self.goal.p99_ms)
        chosen = after.candidate if last and (first is None or last.beats(first, 1.0)) else before.candidate
        return Result(before, after, chosen, self._trials, self._measured, not self._out_of_time)

    def _attempt(self, candidate: Candidate) -> Trial | None:
        """Try a setting, unless it and the comparison would take longer than there is time."""
        comparison = 2 * self.goal.rounds * (START_GUESS + 1.2 * self.goal.seconds)
        if time.monotonic() - self._began + self._longest + comparison > self.goal.limit:
            self._out_of_time = True
            return None
        return self._try(candidate)

    def _try(self, candidate: Candidate) -> Trial:
        began = time.monotonic()
        found: list[Rounds] = []
        try:
            with self._serving(candidate) as endpoint:
                watch = Watch(endpoint)

                def measure(clients: int) -> tuple[float, float | None]:
                    each = self._once(endpoint, watch, Rounds(Point(clients)))
                    found.append(each)
                    return each.costs[-1].load.rate, each.costs[-1].load.percentile_ms(99)

                with self._progress.stage(f"{len(self._trials) + 1}. {candidate}"):
                    score = climb(measure, self.goal.most_clients, self.goal.p99_ms, self._first)
            problem = "" if score else next(filter(None, (each.problem for each in found)), "it refused all")
        except (ServerError, OSError) as error:
            score, problem = None, str(error)
        trial = Trial(candidate, score, problem)
        if score is not None and not self._trials:
            # The others will not be far from where the first one got to.
            self._first = max(1, score.clients // 2)
        self._trials.append(trial)
        self._measured[f"{len(self._trials)}. {candidate}"] = found
        self._progress.note(f"   {worded(score, self.goal.p99_ms) if score else problem}")
        self._longest = max(self._longest, time.monotonic() - began)
        return trial

    def _compare(self, settings: Sequence[Compared]) -> None:
        for number in range(1, self.goal.rounds + 1):
            for each in settings:
                with (
                    self._progress.stage(f"round {number} of {self.goal.rounds}: {each.candidate}"),
                    self._serving(each.candidate) as endpoint,
                ):
                    self._once(endpoint, Watch(endpoint), each.rounds)

    def _once(self, endpoint: Endpoint, watch: Watch, rounds: Rounds) -> Rounds:
        point, shots = rounds.point, bodies.to(endpoint.path, list(self._shots))
        rounds.costs.append(watch.over(lambda: point.run(endpoint, shots, self.goal.seconds)))
        return rounds

    @contextmanager
    def _serving(self, candidate: Candidate) -> Iterator[Endpoint]:
        """A server with the entry in another setting. ServerError where it does not come up or answers no request."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            shown = Path(folder) / NAME
            shown.mkdir()
            (shown / CONFIG).write_text(candidate.applied(self._config), "utf-8")
            (shown / VERSION).symlink_to((self._entry / VERSION).absolute(), target_is_directory=True)
            with LocalServer("--repository", folder) as server:
                ping.Endpoint(server.url, None, 1, server.check).wait(STARTUP, starting=True)
                endpoint = Endpoint.parse(server.url)
                endpoint.accept(list(self._shots))
                yield endpoint


def _entry(name: str | None, repository: Path | None, given: dict[str, Any], progress: Progress) -> Path:
    """The entry to tune: SOURCE itself where it is one that may be changed, else its copy in the repository."""
    from server.cli import checked_name, converted, require_one_runtime

    require_one_runtime()
    source, cache = given["tune"], given["cache"] or settings.default_cache()
    found = ready.find(Path(source)) if Path(source).is_dir() else None
    if repository is None:
        if found is None:
            raise click.UsageError(f"{source} is to be converted first: say with --repository where the entry shall go")
        if found.resolve().is_relative_to(Path(cache).resolve()):
            raise click.UsageError(f"{source} lies in the cache and stays as it is: choose a --repository for a copy")
        return found
    artifact = converted(source, given, progress, fall_back=True)
    try:
        return place(artifact.path, repository, checked_name(name or artifact.name))
    except OSError as error:
        raise ConversionError(f"{repository} cannot be written: {error.strerror or error}") from error
