"""Bound runs give what plain ones give; ONNX Runtime binds memory of the processor as it binds a card's."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import onnxruntime
import pytest

from converters.convert import Artifact
from huggingface_backend.binding import Bound
from huggingface_backend.manifest import GRAPH
from huggingface_backend.providers import CPU
from huggingface_backend.session import session_options


@pytest.fixture(scope="module")
def session(minilm_entry: Artifact) -> Any:
    graph = minilm_entry.path / "1" / GRAPH
    return onnxruntime.InferenceSession(str(graph), session_options(1), providers=[CPU])


def feed(session: Any, rows: int, tokens: int, seed: int = 0) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    made = {"input_ids": chance.integers(1000, 20000, (rows, tokens)), "attention_mask": np.ones((rows, tokens), int)}
    names = [entry.name for entry in session.get_inputs()]
    return {name: made.get(name, np.zeros((rows, tokens), int)) for name in names}


def bound(session: Any) -> Bound:
    names = [entry.name for entry in session.get_inputs()]
    return Bound(session, names, [entry.name for entry in session.get_outputs()])


def test_the_outputs_are_those_of_a_plain_run_at_every_shape(session: Any) -> None:
    runner, given = bound(session), [entry.name for entry in session.get_outputs()]
    kept = []
    # Growing, shrinking, and twice the same one after the other.
    for seed, (rows, tokens) in enumerate([(2, 5), (7, 19), (7, 19), (1, 3), (2, 5)]):
        inputs = feed(session, rows, tokens, seed)
        outputs = runner.run(inputs)
        for mine, plain in zip(outputs, session.run(given, inputs), strict=True):
            assert mine.shape == plain.shape and mine.shape[0] == rows
            assert np.abs(mine - plain).max() < 1e-6
        kept.append((inputs, outputs))
    # What was given out is not written to by later runs.
    for inputs, outputs in kept:
        assert np.abs(outputs[0] - session.run(given, inputs)[0]).max() < 1e-6
    assert np.abs(kept[1][1][0] - kept[2][1][0]).max() > 1e-2


def test_the_outputs_outlive_the_binding_and_may_be_written_to(session: Any) -> None:
    inputs = feed(session, 3, 8)
    first = bound(session).run(inputs)[0]
    copy = first.copy()
    bound(session).run(feed(session, 3, 8, 1))
    assert np.array_equal(first, copy)
    first += 1


def test_inputs_may_be_views(session: Any) -> None:
    inputs = feed(session, 4, 12)
    views = {name: np.asfortranarray(array) for name, array in inputs.items()}
    views["attention_mask"] = np.broadcast_to(np.ones(12, int), (4, 12))
    assert np.abs(bound(session).run(views)[0] - bound(session).run(inputs)[0]).max() < 1e-6


def test_threads_do_not_share_a_run(session: Any) -> None:
    runner, given = bound(session), [entry.name for entry in session.get_outputs()]
    inputs = [feed(session, 1 + index, 4 + index, index) for index in range(4)]
    expected = [session.run(given, each)[0] for each in inputs]
    worst = [0.0] * 4

    def work(index: int) -> None:
        for _ in range(8):
            worst[index] = max(worst[index], float(np.abs(runner.run(inputs[index])[0] - expected[index]).max()))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(worst) < 1e-6


def test_after_a_failed_run_the_next_one_is_right(session: Any) -> None:
    runner = bound(session)
    inputs = feed(session, 2, 6)
    with pytest.raises(Exception, match="out of data bounds"):
        runner.run({**inputs, "input_ids": inputs["input_ids"] + 10**6})
    plain = session.run([entry.name for entry in session.get_outputs()], inputs)[0]
    assert np.abs(runner.run(inputs)[0] - plain).max() < 1e-6
