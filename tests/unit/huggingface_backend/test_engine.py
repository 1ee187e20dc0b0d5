"""Waves, batches and poison, on a real graph."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from huggingface_backend.engine import Engine
from huggingface_backend.errors import InvalidInput, RequestError
from huggingface_backend.manifest import GRAPH, TOKENIZER, Manifest
from huggingface_backend.rows import Row, cut
from huggingface_backend.session import Session
from huggingface_backend.tasks import TASKS
from huggingface_backend.tokenization import TextTokenizer
from tests.models import texts


@dataclass
class Loaded:
    engine: Engine
    session: Session


@pytest.fixture(scope="module", params=[1, 3], ids=["one lane", "three lanes"])
def loaded(convert: Any, built: Callable[..., Path], request: pytest.FixtureRequest) -> Iterator[Loaded]:
    """A classifier for at most 64 tokens whose manifest does not say so, so that only the graph itself can fail."""
    folder = convert(built("bert", num_labels=3)).path / "1"
    manifest = Manifest.read(folder)
    assert manifest.max_tokens == 64
    manifest = replace(manifest, max_tokens=None)
    session = Session(folder / GRAPH, lanes=request.param)

    def tokenizer() -> TextTokenizer:
        return TextTokenizer(folder / TOKENIZER, manifest.tokenizer)

    engine = Engine(TASKS[manifest.task](manifest, tokenizer()), session, tokenizer, 256)
    yield Loaded(engine, session)
    engine.close()


def submit_all(engine: Engine, calls: list[tuple[Any, dict[str, Any]]]) -> tuple[list[Any], list[int]]:
    """Outcomes by call, and the order in which they came."""
    outcomes: list[Any] = [None] * len(calls)
    order: list[int] = []
    done = threading.Semaphore(0)

    def keep(index: int) -> Callable[[object], None]:
        def settle(outcome: object) -> None:
            assert outcomes[index] is None
            outcomes[index] = outcome
            order.append(index)
            done.release()

        return settle

    for index, (inputs, parameters) in enumerate(calls):
        engine.submit(inputs, parameters, keep(index))
    for _ in calls:
        assert done.acquire(timeout=30)
    return outcomes, order


LOGITS = {"function_to_apply": "none", "top_k": None}


def scores(answer: Any) -> Any:
    return np.array([entry["score"] for entry in sorted(answer, key=lambda entry: entry["label"])])


def test_answers_do_not_depend_on_neighbours(loaded: Loaded) -> None:
    inputs = texts(40, longest=30)
    alone = [submit_all(loaded.engine, [(text, LOGITS)])[0][0] for text in inputs]
    together, _ = submit_all(loaded.engine, [(text, LOGITS) for text in inputs])
    for one, other in zip(alone, together, strict=True):
        assert np.abs(scores(one) - scores(other)).max() < 1e-5
    assert np.abs(scores(alone[0]) - scores(together[1])).max() > 1e-3


def test_rows_share_runs_within_the_budget(loaded: Loaded) -> None:
    counters = loaded.session.counters
    runs, rows, tokens = counters.runs, counters.rows, counters.tokens
    submit_all(loaded.engine, [(texts(60, longest=10), {})])
    assert counters.rows - rows == 60
    assert (counters.tokens - tokens) / (counters.runs - runs) <= 256
    assert (counters.rows - rows) / (counters.runs - runs) > 4


def test_a_text_that_comes_twice_is_computed_once(loaded: Loaded) -> None:
    counters = loaded.session.counters
    rows = counters.rows
    again = [text for text in texts(5, longest=6) for _ in range(4)]
    [answers], _ = submit_all(loaded.engine, [(again, LOGITS)])
    assert counters.rows - rows == 5
    for index in range(0, 20, 4):
        assert all(answer == answers[index] for answer in answers[index : index + 4])
    assert answers[0] != answers[4]


def test_a_bad_text_that_comes_twice_fails_both_calls(loaded: Loaded) -> None:
    poison = " ".join(["fox"] * 100)
    # The first call holds the engine until all others wait.
    outcomes, _ = submit_all(loaded.engine, [(texts(500, longest=30), {}), (poison, {}), ("tea", {}), (poison, {})])
    assert [isinstance(outcome, InvalidInput) for outcome in outcomes] == [False, True, False, True]


def test_a_cancelled_call_leaves_its_twin_its_result() -> None:
    twin, first = Owner(), Owner(settled=True)
    row = Row(first, 0, twins=[Row(twin, 3)])  # type: ignore[arg-type]
    assert row.wanted
    row.put("result")
    assert twin.results == {3: "result"}
    twin.settled = True
    assert not row.wanted


@dataclass
class Owner:
    """A stand-in for a pending call, of which rows ask whether it is settled."""

    settled: bool = False
    results: dict[int, object] = field(default_factory=dict)

    def put(self, index: int, result: object) -> None:
        self.results[index] = result


def test_requests_say_where_their_time_went(loaded: Loaded) -> None:
    counters = loaded.session.counters
    submit_all(loaded.engine, [("tea", {})])
    time.sleep(0.1)
    before, seconds, used = counters.requests, dict(counters.seconds), dict(counters.cpu_seconds)
    started = time.monotonic()
    submit_all(loaded.engine, [(text, {}) for text in texts(200, longest=30)])
    took = time.monotonic() - started
    # The last are counted a moment after they are answered.
    while counters.requests - before < 200:
        assert time.monotonic() < started + 30
    spent = {stage: counters.seconds[stage] - seconds[stage] for stage in seconds}
    assert all(value > 0 for value in spent.values()) and sum(spent.values()) <= 200 * took
    assert all(0 < counters.cpu_seconds[stage] - used[stage] <= 4 * took for stage in used)


def test_a_row_the_graph_cannot_take_fails_alone(loaded: Loaded) -> None:
    poison = " ".join(["fox"] * 100)
    calls: list[tuple[Any, dict[str, Any]]] = [(text, LOGITS) for text in texts(20, longest=30)]
    calls[7] = (poison, LOGITS)
    calls[11] = (["fox", poison, "tea"], LOGITS)
    calls.append((poison, {**LOGITS, "truncation": True}))
    outcomes, _ = submit_all(loaded.engine, calls)
    failed = {index for index, outcome in enumerate(outcomes) if isinstance(outcome, RequestError)}
    assert failed == {7, 11}
    assert isinstance(outcomes[7], InvalidInput)
    assert "102 tokens" in str(outcomes[7])
    alone, _ = submit_all(loaded.engine, [calls[8]])
    assert np.abs(scores(alone[0]) - scores(outcomes[8])).max() < 1e-5


def test_a_bad_call_is_refused_and_the_others_answered(loaded: Loaded) -> None:
    outcomes, _ = submit_all(loaded.engine, [(3, {}), ("tea", {}), ("tea", {"nonsense": 1}), ([], {}), ("\ud800", {})])
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "InvalidInput",
        "list",
        "InvalidInput",
        "list",
        "InvalidInput",
    ]
    assert outcomes[3] == []


def test_a_long_list_lets_a_later_call_pass(loaded: Loaded) -> None:
    _, order = submit_all(loaded.engine, [(texts(2000, longest=30), {}), *[("tea", {})] * 3])
    assert order[-1] == 0


def test_a_giant_text_is_answered_beside_the_others(loaded: Loaded) -> None:
    giant = "fox " * 300_000
    outcomes, order = submit_all(loaded.engine, [(giant, {"truncation": True}), ("tea", {}), (giant, {})])
    assert order[0] == 1
    assert isinstance(outcomes[0], list)
    assert isinstance(outcomes[2], InvalidInput)


def test_a_cancelled_call_stops_costing(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_backend.waves.PATIENCE", 0.0)
    rows = loaded.session.counters.rows
    outcomes: list[object] = []
    finished = threading.Event()

    def settle(outcome: object) -> None:
        outcomes.append(outcome)
        finished.set()

    loaded.engine.submit(texts(5000, longest=30), {}, settle, cancelled=lambda: loaded.session.counters.rows > rows)
    assert finished.wait(30)
    assert isinstance(outcomes[0], RequestError)
    assert loaded.session.counters.rows - rows < 1000


@dataclass
class FakeRow:
    """A stand-in for a row, of which `cut` reads the length, and its shape where shapes must be equal."""

    length: int
    ready: range = range(0)


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([], []),
        ([100], [[100]]),
        ([5000], [[5000]]),
        ([10, 10, 10, 10], [[10, 10, 10, 10]]),
        ([10, 10, 30, 40], [[10, 10], [30], [40]]),
        ([1] * 50, [[1] * 25, [1] * 25]),
    ],
)
def test_cut(lengths: list[int], expected: list[list[int]]) -> None:
    batches = cut([FakeRow(length) for length in lengths], 40)  # type: ignore[arg-type]
    assert [[row.length for row in batch] for batch in batches] == expected


@pytest.mark.parametrize(
    ("lengths", "parts", "expected"),
    [
        ([10] * 8, 2, [4, 4]),
        ([10], 2, [1]),
        ([10] * 3, 4, [1, 1, 1]),
        ([10, 10, 11, 12, 13, 14, 15, 16, 17], 2, [5, 4]),
        ([1, 1, 100], 2, [2, 1]),
    ],
)
def test_cut_gives_every_free_lane_a_part(lengths: list[int], parts: int, expected: list[int]) -> None:
    batches = cut([FakeRow(length) for length in lengths], 1000, parts=parts)  # type: ignore[arg-type]
    assert [len(batch) for batch in batches] == expected


def test_cut_keeps_lengths_apart_where_nothing_can_be_padded() -> None:
    rows = [FakeRow(length, range(length)) for length in (3, 3, 4, 5, 5)]
    batches = cut(rows, 1000, equal_shapes=True)  # type: ignore[arg-type]
    assert [[row.length for row in batch] for batch in batches] == [[3, 3], [4], [5, 5]]


def wait_until_idle(engine: Engine) -> None:
    """Until a lane waits for calls, and the engine has been quiet for longer than `QUIET`."""
    time.sleep(0.15)
    while engine._waves.at_work.locked():
        time.sleep(0.01)


def test_who_waits_anyway_runs_a_lone_row_itself(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    run = loaded.session.run

    def noted(batch: Any, *, wide: bool) -> Any:
        threads.append(threading.current_thread().name)
        return run(batch, wide=wide)

    monkeypatch.setattr(loaded.session, "run", noted)
    here = threading.current_thread().name
    [expected], _ = submit_all(loaded.engine, [("tea", LOGITS)])
    assert threads.pop() != here
    outcomes: list[Any] = []
    for _ in range(3):
        wait_until_idle(loaded.engine)
        loaded.engine.submit("tea", LOGITS, outcomes.append, waits=True)
    assert threads == [here] * 3 and outcomes == [expected] * 3
    poison = " ".join(["fox"] * 100)
    wait_until_idle(loaded.engine)
    loaded.engine.submit(poison, LOGITS, outcomes.append, waits=True)
    assert isinstance(outcomes.pop(), InvalidInput)
    # Several rows are for the lanes, and none is in the way of another afterwards.
    del threads[:]
    submit_all(loaded.engine, [(["tea", "green tea"], LOGITS)])
    assert here not in threads


def test_who_finds_the_engine_at_work_hands_over(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, gate, run = threading.Event(), threading.Event(), loaded.session.run
    threads: list[str] = []

    def held(batch: Any, *, wide: bool) -> Any:
        threads.append(threading.current_thread().name)
        entered.set()
        assert gate.wait(30)
        return run(batch, wide=wide)

    monkeypatch.setattr(loaded.session, "run", held)
    wait_until_idle(loaded.engine)
    outcomes: list[object] = []
    done = threading.Semaphore(0)

    def keep(outcome: object) -> None:
        outcomes.append(outcome)
        done.release()

    def submit() -> None:
        loaded.engine.submit("tea", {}, keep, waits=True)

    first = threading.Thread(target=submit, name="first")
    first.start()
    assert entered.wait(30) and threads == ["first"]
    submit()
    submit()
    assert outcomes == [] and threads == ["first"]
    gate.set()
    for _ in range(3):
        assert done.acquire(timeout=30)
    first.join()
    assert threading.current_thread().name not in threads
    assert len(set(map(str, outcomes))) == 1


def test_what_a_waiting_caller_ran_is_reported(convert: Any, built: Callable[..., Path]) -> None:
    folder = convert(built("bert", num_labels=3)).path / "1"
    manifest = Manifest.read(folder)
    session = Session(folder / GRAPH)
    reported: list[int] = []
    tokenizer = TextTokenizer(folder / TOKENIZER, manifest.tokenizer)
    engine = Engine(
        TASKS[manifest.task](manifest, tokenizer), session, when_idle=lambda: reported.append(session.counters.requests)
    )
    # Without anything to do its threads sleep, and are woken to tell.
    time.sleep(0.5)
    for asked in (1, 2):
        engine.submit("tea", {}, lambda _outcome: None, waits=True)
        deadline = time.monotonic() + 10
        while reported[-1] < asked:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    told = len(reported)
    time.sleep(0.5)
    assert len(reported) <= told + 2
    engine.close()


def test_few_tokens_get_all_cores_and_who_comes_meanwhile_waits(
    convert: Any, built: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = convert(built("bert", num_labels=3)).path / "1"
    manifest = Manifest.read(folder)
    session = Session(folder / GRAPH, lanes=2)
    engine = Engine(TASKS[manifest.task](manifest, TextTokenizer(folder / TOKENIZER, manifest.tokenizer)), session)
    runs: list[tuple[int, bool]] = []
    gate, entered, done = threading.Event(), threading.Event(), threading.Semaphore(0)
    run = session.run

    def held(batch: Any, *, wide: bool) -> Any:
        runs.append((batch.rows, wide))
        entered.set()
        assert gate.wait(30)
        return run(batch, wide=wide)

    monkeypatch.setattr(session, "run", held)

    def submit(*inputs: str) -> None:
        engine.submit(list(inputs), {}, lambda _outcome: done.release())

    submit("tea", "green tea")
    assert entered.wait(30)
    submit("black tea")
    submit(*[f"tea of {number} leaves" for number in range(40)])
    time.sleep(0.1)
    assert runs == [(2, True)]
    gate.set()
    for _ in range(3):
        assert done.acquire(timeout=30)
    engine.close()
    # Too many to wait for each other.
    assert [wide for _, wide in runs[1:]] == [False] * (len(runs) - 1)
    assert sum(rows for rows, _ in runs) == 43
