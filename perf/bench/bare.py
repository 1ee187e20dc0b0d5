"""Bare ONNX Runtime in a process of its own: told by lines of JSON what to run, it answers with a line each.

    {"load": {"task", "model", "items", "graphs": {name: path}}}      reads and tokenises; texts, or paths of images
    {"run": {"graph", "layout", "batch", "order", "seconds"}}         runs and tells what came of it
    {"same": {"graphs": [name, name]}}                                the greatest difference between two graphs

A layout is how the cores are used: "spinning" and "quiet" are one session on all cores, one run at a time, whose
threads spin between two pieces of work or do not; "beside" is one session of a thread a run and as many runs beside
each other as there are cores; "single" is one run at a time on one core. An order is "sorted" or "arrival".
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import onnxruntime

from perf.bench import inputs
from perf.bench.wrk import PERCENTS

SPINNING, QUIET, BESIDE, SINGLE = "spinning", "quiet", "beside", "single"
LAYOUTS = (SPINNING, QUIET, BESIDE)
CORES = len(os.sched_getaffinity(0))


class Bare:
    """The sessions of a model, and its input."""

    def __init__(self, task: str, model: str, items: list[Any], graphs: dict[str, str]) -> None:
        self._rows = inputs.rows(task, Path(model), [Path(i) if task == "image-classification" else i for i in items])
        lengths = [max(map(len, row.values())) for row in self._rows]
        self._mixed = max(lengths) > 2 * min(lengths)
        self._graphs = graphs
        self._sessions: dict[tuple[str, str], onnxruntime.InferenceSession] = {}
        self._batches: dict[tuple[str, int, str], list[inputs.Arrays]] = {}

    def run(self, graph: str, layout: str, batch: int, order: str, seconds: float) -> dict[str, Any]:
        """Batches one after the other for some seconds, or one where that takes longer; one before is not timed."""
        session, work = self._session(graph, layout), self._work(graph, batch, order)
        session.run(None, work[0])
        before = time.process_time()
        # Of rows of very different lengths all have their turn, or the figure would be that of a few.
        whole = len(work) if self._mixed else 1
        finished, elapsed = _go(session, work, CORES if layout == BESIDE else 1, seconds, whole)
        rows = sum(count for _, count in finished)
        took = sorted(1e3 * taken for taken, _ in finished)
        return {
            "requests": rows,
            "seconds": elapsed,
            "rate": rows / elapsed,
            "runs": len(took),
            "p50_ms": statistics.median(took),
            "percentiles": [[percent, float(np.percentile(took, percent))] for percent in PERCENTS],
            "cpu_seconds": time.process_time() - before,
        }

    def same(self, graphs: list[str]) -> dict[str, float]:
        """The greatest difference between what two graphs give for the same eight rows."""
        first, second = (self._session(name, QUIET).run(None, self._work(name, 8, "arrival")[0])[0] for name in graphs)
        if first.shape != second.shape:
            return {"difference": float("nan")}
        return {"difference": float(np.abs(first - second).max())}

    def _session(self, graph: str, layout: str) -> onnxruntime.InferenceSession:
        alone = layout in (BESIDE, SINGLE)
        key = (graph, SINGLE if alone else layout)
        if key not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1 if alone else CORES
            options.inter_op_num_threads = 1
            options.log_severity_level = 4
            options.add_session_config_entry("session.intra_op.allow_spinning", "1" if layout == SPINNING else "0")
            # Spinning ends with the run, so that nothing spins while others are measured.
            options.add_session_config_entry("session.force_spinning_stop", "1" if layout == SPINNING else "0")
            self._sessions[key] = onnxruntime.InferenceSession(
                self._graphs[graph], options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[key]

    def _work(self, graph: str, batch: int, order: str) -> list[inputs.Arrays]:
        key = (graph, batch, order)
        if key not in self._batches:
            names = [entry.name for entry in self._session(graph, QUIET).get_inputs()]
            self._batches[key] = inputs.batches(self._rows, batch, names, by_length=order == "sorted")
        return self._batches[key]


def _go(
    session: onnxruntime.InferenceSession, work: list[inputs.Arrays], beside: int, seconds: float, whole: int
) -> tuple[list[tuple[float, int]], float]:
    """(seconds, rows) of each run, and the seconds all took; the number of runs is a multiple of `whole`."""
    finished: list[tuple[float, int]] = []
    lock, at, over = threading.Lock(), 0, False
    began = time.perf_counter()

    def keep_on() -> None:
        nonlocal at, over
        while True:
            with lock:
                over = over or (time.perf_counter() - began >= seconds and at % whole == 0)
                if over and at:
                    return
                feed, at = work[at % len(work)], at + 1
            started = time.perf_counter()
            session.run(None, feed)
            finished.append((time.perf_counter() - started, len(next(iter(feed.values())))))

    threads = [threading.Thread(target=keep_on) for _ in range(beside)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return finished, time.perf_counter() - began


def main(orders: TextIO, answers: TextIO) -> None:
    """Until the last line. An order that fails is answered with {"error": line}."""
    bare: Bare | None = None
    for line in orders:
        [(verb, given)] = json.loads(line).items()
        try:
            if verb == "load":
                bare, found = Bare(**given), {}
            else:
                assert bare is not None, "nothing was loaded"
                found = getattr(bare, verb)(**given)
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            found = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}
        answers.write(json.dumps(found) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(sys.stdin, sys.stdout)
