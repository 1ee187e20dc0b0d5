"""wrk, which keeps a number of clients asking, each its next request when the last one is answered."""

from __future__ import annotations

import json
import math
import resource
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PERCENTS = (1, 5, 10, 25, 50, 75, 80, 90, 95, 98, 99, 99.5, 99.9, 100)
_MARK = "figures "
_TIMEOUT = 120
"""Seconds an answer may take; wrk counts what takes longer as an error."""

# The bodies are whole requests, each behind its length. Nothing is done with a response: reading it in Lua would cost
# the server the processor time that wrk takes for it.
_SCRIPT = """
local requests, at, threads = {}, 0, 0

function setup(thread)
  thread:set("ordinal", threads)
  threads = threads + 1
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1)
    requests[#requests + 1] = file:read(length)
  end
  file:close()
  at = tonumber(args[2]) + ordinal * 7919
end

function request()
  at = at + 1
  return requests[at % #requests + 1]
end

function done(summary, latency)
  local pairs_ = {}
  for index = 1, #latency do
    local value, count = latency(index)
    pairs_[index] = string.format("[%d,%d]", value, count)
  end
  local e = summary.errors
  io.write(string.format(
    'figures {"micros":%d,"requests":%d,"status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,' ..
    '"latencies":[%s]}\\n',
    summary.duration, summary.requests, e.status, e.connect, e.read, e.write, e.timeout, table.concat(pairs_, ",")))
end
"""


class WrkError(Exception):
    """wrk is missing or failed; one line."""


@dataclass(frozen=True)
class Outcome:
    """What the clients saw."""

    requests: int
    """Answers, whatever their status."""
    seconds: float
    failed: int
    """Answers with a status over 399; wrk does not tell them apart."""
    broken: int
    """Connections that failed, and answers that did not come in time."""
    latencies: tuple[tuple[int, int], ...]
    """(microseconds, answers that took them), ascending."""
    cpu_seconds: float
    """wrk's own."""

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (self.requests - self.failed) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The least time within which so many of a hundred answers came; NaN where none did."""
        return percentile(self.latencies, percent) / 1e3


def percentile(counts: Sequence[tuple[int, int]], percent: float) -> float:
    """Of (value, count) pairs in ascending order; NaN where there are none."""
    rank = math.ceil(sum(count for _, count in counts) * percent / 100)
    seen = 0
    for value, count in counts:
        seen += count
        if seen >= max(rank, 1):
            return value
    return math.nan


def ensure() -> str:
    """Where wrk is. WrkError with the command that installs it."""
    found = shutil.which("wrk")
    if found is None:
        raise WrkError("wrk is missing: apt-get install wrk")
    return found


def write_requests(target: Path, port: int, path: str, requests: Sequence[tuple[bytes, Mapping[str, str]]]) -> Path:
    """The file that `run` sends from: requests as they go over the wire, for bodies and headers."""
    with target.open("wb") as file:
        for body, headers in requests:
            lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(body)}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            raw = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
            file.write(f"{len(raw)}\n".encode() + raw)
    return target


def run(port: int, requests: Path, clients: int, seconds: int, start: int = 0) -> Outcome:
    """Ask for some seconds, beginning with the request of a number. WrkError where it fails.

    One thread sends for all clients: it takes some microseconds a request, which two threads would not make fewer.
    """
    script = requests.with_suffix(".lua")
    script.write_text(_SCRIPT, "utf-8")
    command = [ensure(), "-t", "1", "-c", str(clients), "-d", f"{seconds}s", "--timeout", f"{_TIMEOUT}s"]
    command += ["-s", str(script), f"http://127.0.0.1:{port}/", "--", str(requests), str(start)]
    before = children_cpu()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 2 * _TIMEOUT, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith(_MARK)), None)
    if done.returncode or line is None:
        raise WrkError(f"wrk failed: {(done.stderr or done.stdout).strip()[-300:]}")
    return parse(line, clients, children_cpu() - before)


def parse(line: str, clients: int, cpu_seconds: float = 0.0) -> Outcome:
    """What the script printed."""
    found = json.loads(line.removeprefix(_MARK))
    requests, micros = int(found["requests"]), int(found["micros"])
    broken = sum(int(found[kind]) for kind in ("connect", "read", "write", "timeout"))
    counts = {int(value): int(count) for value, count in found["latencies"]}
    if requests // clients:
        counts = uncorrected(counts, micros // (requests // clients))
    return Outcome(requests, micros / 1e6, int(found["status"]), broken, tuple(sorted(counts.items())), cpu_seconds)


def uncorrected(counts: Mapping[int, int], expected: int) -> dict[int, int]:
    """What was measured, from what wrk reports.

    For each latency of twice the mean and more, wrk adds invented ones, each shorter by the mean, for requests that
    its clients did not send meanwhile. From the longest on, to which nothing was added, these can be taken away.
    """
    found = dict(counts)
    for value in sorted(counts, reverse=True):
        if value < 2 * expected:
            break
        invented = value - expected
        while found[value] > 0 and invented > expected:
            found[invented] = found.get(invented, 0) - found[value]
            invented -= expected
    return {value: count for value, count in found.items() if count > 0}


def children_cpu() -> float:
    """Processor seconds of the processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
