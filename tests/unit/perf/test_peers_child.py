"""A peer's process ends with all that it started, and leaves no files."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from perf.bench.peers.child import Child, tree

# A child in the session, one in a session of its own, and one whose parent is gone; none of them heeds SIGTERM.
FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sleep = [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]
subprocess.Popen(sleep)
subprocess.Popen(sleep, start_new_session=True)
if not os.fork():
    subprocess.Popen(sleep)
    os._exit(0)
os.wait()
open(os.path.join(os.environ["TMPDIR"], "kept"), "w").close()
print("started", flush=True)
time.sleep(600)
"""


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    monkeypatch.setattr("perf.bench.peers.child.end.__defaults__", (0.5,))
    child = Child([sys.executable, "-c", FAMILY], tmp_path / "log")
    deadline = time.monotonic() + 30
    while "started" not in child.last_lines() and time.monotonic() < deadline:
        time.sleep(0.05)
    yield child
    child.stop()


def test_whole_tree_is_seen_and_ended(family: Child) -> None:
    processes = family.processes()
    assert len(processes) == 4
    assert processes[0].pid == family.process.pid
    assert list(family.base.iterdir()) == [family.base / "kept"]
    family.stop()
    assert [process for process in processes if process.is_running()] == []
    assert tree(family.process.pid) == []
    assert not family.base.exists()
    family.stop()


def test_frozen_processes_are_ended(family: Child) -> None:
    processes = family.processes()
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    family.stop()
    assert [process for process in processes if process.is_running()] == []


def test_what_changes_a_measurement_is_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "PYTHONPATH", "HF_TASK", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KEPT", "1")
    child = Child(["/usr/bin/env"], tmp_path / "log", {"OWN": "2"})
    assert child.process.wait(10) == 0
    told = dict(line.split("=", 1) for line in child.last_lines(1000).splitlines() if "=" in line)
    child.stop()
    assert {"OMP_NUM_THREADS", "PYTHONPATH", "HF_TASK", "MKL_NUM_THREADS"}.isdisjoint(told)
    assert (told["KEPT"], told["OWN"], told["CUDA_VISIBLE_DEVICES"]) == ("1", "2", "")


def test_other_sessions_are_left_alone(family: Child) -> None:
    assert psutil.Process().pid not in {process.pid for process in family.processes()}
