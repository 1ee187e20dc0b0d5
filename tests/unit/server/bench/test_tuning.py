"""The search for a setting, and what it may change."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from converters.entry import CONFIG, TEMPLATE, write_config
from huggingface_backend.manifest import Manifest
from huggingface_backend.wire import PARAMETERS
from server.bench.candidates import Candidate, ladder, layouts, stated
from server.bench.search import Score, Trial, climb, descend

FAST = Manifest("sentence-embedding", "fast")
BUDGET = ("token_budget", [256, 512, 1024, 2048], 1)


def config(tmp_path: Path, **parameters: str) -> str:
    write_config(tmp_path, parameters)
    return (tmp_path / CONFIG).read_text("utf-8")


def test_a_candidate_changes_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    before = config(tmp_path, program="main.py", threads="7")
    changed = Candidate().having({"threads": 2, "lanes": 1}, 3).applied(before)
    read = text_format.Parse(changed, model_config_pb2.ModelConfig())
    assert stated(changed) == {"program": "main.py", "threads": "2", "lanes": "1"}
    assert read.instance_group[0].count == 3 and len(read.input) == 5
    assert Candidate().applied(before) == before


def test_candidates_are_words() -> None:
    assert str(Candidate()) == "as it is"
    assert str(Candidate().having({"token_budget": 512, "lanes": 2}, 1)) == "lanes 2, token budget 512, 1 instance"


@pytest.mark.parametrize("cores", [1, 2, 3, 16])
@pytest.mark.parametrize("tier", ["fast", "accelerated", "torch"])
def test_layouts_use_known_parameters_and_no_more_cores_than_there_are(cores: int, tier: str) -> None:
    manifest = Manifest("text-generation", tier)  # type: ignore[arg-type]
    for layout in layouts(manifest, cores):
        values = {name: int(value) for name, value in layout.parameters}
        assert set(values) <= set(PARAMETERS) and all(value >= 1 for value in values.values())
        if not manifest.one_at_a_time:
            assert values["threads"] * (layout.instances or 1) <= cores
    assert len({str(layout) for layout in layouts(manifest, cores)}) == len(layouts(manifest, cores))


def test_the_ladder_begins_at_what_is_in_force() -> None:
    assert ladder(FAST, {}) == ("token_budget", [128, 256, 512, 1024, 2048, 4096, 8192], 2)
    name, steps, at = ladder(FAST, {"token_budget": "700"})
    assert (name, steps[at]) == ("token_budget", 700)
    assert ladder(Manifest("x", "torch"), {})[1] == []


def trial(candidate: Candidate, rate: float, p99: float = 10.0, *, within: bool = True) -> Trial:
    return Trial(candidate, Score(within, rate, p99, 8))


def rated(rates: dict[str, float]) -> tuple[list[str], object]:
    asked: list[str] = []

    def attempt(candidate: Candidate) -> Trial | None:
        asked.append(str(candidate))
        return trial(candidate, rates.get(str(candidate), 50.0))

    return asked, attempt


def test_the_descent_takes_the_best_layout_and_then_walks_the_budgets() -> None:
    one, two = Candidate().having({"lanes": 1}), Candidate().having({"lanes": 2})
    asked, attempt = rated({"lanes 2": 120, "lanes 2, token budget 1024": 130, "lanes 2, token budget 2048": 125})
    best = descend(trial(Candidate(), 100), [one, two], BUDGET, attempt)  # type: ignore[arg-type]
    assert str(best.candidate) == "lanes 2, token budget 1024"
    assert asked == ["lanes 1", "lanes 2", "lanes 2, token budget 1024", "lanes 2, token budget 2048"]


def test_the_descent_walks_down_where_up_is_worse() -> None:
    _, attempt = rated({"token budget 256": 140})
    best = descend(trial(Candidate(), 100), [], BUDGET, attempt)  # type: ignore[arg-type]
    assert str(best.candidate) == "token budget 256"


def test_what_is_better_by_chance_only_is_not_taken() -> None:
    _, attempt = rated({"lanes 1": 101})
    start = trial(Candidate(), 100)
    assert descend(start, [Candidate().having({"lanes": 1})], ("", [], 0), attempt) is start  # type: ignore[arg-type]


def test_a_setting_that_cannot_serve_is_passed_over_and_time_ends_it() -> None:
    left = [Trial(Candidate(), None, "no room"), trial(Candidate().having({"lanes": 2}), 200), None]
    wanted = left[1]
    many = [Candidate().having({"lanes": lanes}) for lanes in range(1, 9)]
    assert descend(trial(Candidate(), 100), many, BUDGET, lambda _: left.pop(0)) is wanted
    assert left == []


def test_within_the_bound_beats_a_higher_rate_and_else_the_lower_p99_wins() -> None:
    slow, fast, over, far = (
        Score(True, 10, 5, 1),
        Score(True, 20, 9, 4),
        Score(False, 90, 30, 8),
        Score(False, 95, 60, 8),
    )
    assert fast.beats(slow) and slow.beats(over) and over.beats(far) and not far.beats(over)


def machine(service_ms: float, batch: int) -> tuple[list[int], object]:
    """A server that answers `batch` at once, and what it was asked with."""
    asked: list[int] = []

    def measure(clients: int) -> tuple[float, float | None]:
        asked.append(clients)
        turns = -(-clients // batch)
        return clients / (turns * service_ms / 1000), turns * service_ms

    return asked, measure


def test_the_climb_ends_at_the_bound() -> None:
    asked, measure = machine(10, 8)
    score = climb(measure, 128, 35.0)  # type: ignore[arg-type]
    assert asked == [1, 2, 4, 8, 16, 32, 24]
    assert score == Score(True, 800.0, 10.0, 8) or (score and score.within and score.rate == 800.0)


def test_the_climb_ends_where_more_clients_bring_nothing() -> None:
    asked, measure = machine(10, 8)
    climb(measure, 128, 1e9)  # type: ignore[arg-type]
    assert asked == [1, 2, 4, 8, 16, 32]


def test_the_climb_goes_down_from_too_many() -> None:
    asked, measure = machine(10, 2)
    score = climb(measure, 128, 20.0, 16)  # type: ignore[arg-type]
    assert asked == [16, 8, 4, 6]
    assert score is not None and score.within and score.clients == 4


def test_nothing_within_the_bound_gives_the_lowest_p99() -> None:
    asked, measure = machine(10, 4)
    score = climb(measure, 128, 5.0)  # type: ignore[arg-type]
    assert asked == [1] and score == Score(False, 100.0, 10.0, 1)
    assert climb(lambda _: (0.0, None), 128, 5.0) is None


def test_the_template_is_what_candidates_apply_to() -> None:
    assert stated((TEMPLATE / CONFIG).read_text("utf-8")) == {}
