"""perf_analyzer, NVIDIA's load generator, which speaks gRPC to Triton alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from perf.bench import wrk
from perf.bench.wrk import Outcome

PACKAGE = "tritonclient==2.46.0"
"""The last wheel that has it."""
_LIBRARIES = {"libb64.so.0d": "libb64*.so.0d", "libcudart.so.12": "libcudart*.so.12*"}
"""What it links against, and as what pytriton's wheel brings it."""


class AnalyzerError(Exception):
    """perf_analyzer cannot be had or failed; one line."""


class Analyzer:
    """The program, taken from its wheel; the wheel is not installed, for another tritonclient is."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "perf-analyzer"
        self._libraries = self._folder / "libraries"
        self._program = self._folder / "perf_analyzer"

    def ensure(self) -> None:
        """Fetch it where it is missing. AnalyzerError where that fails."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self._folder}.lock"):
            if not self._program.exists():
                self._fetch()

    def _fetch(self) -> None:
        spec = find_spec("pytriton")
        if spec is None or spec.origin is None:
            raise AnalyzerError("perf_analyzer needs the libraries of nvidia-pytriton: the embedded extra")
        beside = Path(spec.origin).parents[1] / "nvidia_pytriton.libs"
        self._libraries.mkdir(exist_ok=True)
        for name, pattern in _LIBRARIES.items():
            found = next(iter(sorted(beside.glob(pattern))), None)
            if found is None:
                raise AnalyzerError(f"perf_analyzer needs {name}, which {beside} does not have")
            (self._libraries / name).unlink(missing_ok=True)
            (self._libraries / name).symlink_to(found)
        fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        fetch += ["--platform", "manylinux1_x86_64", "--dest", str(self._folder), PACKAGE]
        done = subprocess.run(fetch, capture_output=True, text=True, check=False)
        wheel = next(iter(self._folder.glob("*.whl")), None)
        if done.returncode or wheel is None:
            raise AnalyzerError(f"{PACKAGE} cannot be had: {done.stderr.strip().splitlines()[-1:]}")
        with zipfile.ZipFile(wheel) as archive:
            member = next(name for name in archive.namelist() if name.endswith("/bin/perf_analyzer"))
            unfinished = self._program.with_suffix(".part")
            with archive.open(member) as source, unfinished.open("wb") as target:
                shutil.copyfileobj(source, target)
        unfinished.chmod(0o755)
        unfinished.rename(self._program)
        wheel.unlink()

    def run(self, port: int, model: str, data: Path, clients: int, seconds: float) -> Outcome:
        """So many calls at once for some seconds. AnalyzerError where it fails."""
        export = data.with_suffix(".profile.json")
        export.unlink(missing_ok=True)
        command = [str(self._program), "-m", model, "-u", f"127.0.0.1:{port}", "-i", "grpc", "-b", "1"]
        command += ["--async", "--max-threads", "1", "--concurrency-range", str(clients), "--input-data", str(data)]
        # Three windows, which it compares; no difference between them is too big.
        command += ["-p", str(int(seconds * 1000 / 3)), "-r", "3", "-s", "100000", "--profile-export-file", str(export)]
        before = wrk.children_cpu()
        environment = {**os.environ, "LD_LIBRARY_PATH": str(self._libraries)}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=seconds * 4 + 120, check=False
        )
        if not export.exists():
            raise AnalyzerError(f"perf_analyzer failed: {(done.stderr or done.stdout).strip()[-300:]}")
        return parse(json.loads(export.read_text("utf-8")), wrk.children_cpu() - before)


def write_data(target: Path, bodies: Sequence[tuple[bytes, str]]) -> Path:
    """The file that `run` sends from: bodies and their types, which have to be text."""
    rows = [{"body": [body.decode()], "content_type": [kind], "accept": ["application/json"]} for body, kind in bodies]
    target.write_text(json.dumps({"data": rows}), "utf-8")
    return target


def parse(profile: object, cpu_seconds: float = 0.0) -> Outcome:
    """From perf_analyzer's export of every request: those that were answered within its window."""
    [experiment] = profile["experiments"]  # type: ignore[index]
    begin, end = experiment["window_boundaries"][0], experiment["window_boundaries"][-1]
    latencies: Counter[int] = Counter()
    for request in experiment["requests"]:
        answered = request["response_timestamps"][-1] if request["response_timestamps"] else 0
        if begin <= answered <= end:
            latencies[(answered - request["timestamp"]) // 1000] += 1
    failed = sum(not request.get("success", True) for request in experiment["requests"])
    return Outcome(
        sum(latencies.values()), (end - begin) / 1e9, failed, 0, tuple(sorted(latencies.items())), cpu_seconds
    )
