"""Targets are ratios within rounds, and a ceiling that is beaten is none."""

from typing import Any

import pytest

from perf.bench import targets


def line(workload: str, system: str, rates: list[float], precision: str = "fp32", **about: Any) -> dict[str, Any]:
    figure = about.pop("figure", "rate")
    known = {"load": "closed", "clients": None, "batch": None, "variant": ""}
    rounds = [{"rate": 1.0, figure: value} for value in rates]
    return {"workload": workload, "system": system, "precision": precision, **known, **about, "rounds": rounds}


def report(*lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"measurements": list(lines), "systems": [], **more}


def found(name: str, given: dict[str, Any]) -> dict[str, Any]:
    [result] = [each for each in targets.evaluate(given) if each["name"].startswith(name)]
    return result


CEILING = {"load": "batch", "batch": 32}


def test_ratios_are_taken_round_by_round():
    # The machine is twice as fast in the second round: the ratio of medians would be 0.87, none of a round's is.
    given = report(
        line("short-minilm", "ours", [90, 180, 91], clients=64),
        line("short-minilm", "ceiling", [100, 200, 104], **CEILING),
    )
    result = found("ours ÷ ceiling: short", given)
    assert result["median"] == pytest.approx(0.9)
    assert (result["low"], result["high"]) == (pytest.approx(0.875), pytest.approx(0.9))
    assert result["met"] is True


def test_the_ceiling_is_the_best_of_each_round():
    given = report(
        line("short-minilm", "ours", [90, 90], clients=64),
        line("short-minilm", "ceiling", [100, 120], **CEILING, variant="a"),
        line("short-minilm", "ceiling", [125, 90], **CEILING, variant="b"),
    )
    assert targets.ceiling_rates(given, "short-minilm", "fp32") == [125, 120]
    result = found("ours ÷ ceiling: short", given)
    assert result["median"] == pytest.approx((0.72 + 0.75) / 2)
    assert result["met"] is False


def test_what_was_not_measured_is_neither_met_nor_missed():
    for result in targets.evaluate(report()):
        assert result["met"] is None
        assert result["median"] is None
    only_ours = report(line("short-distilbert", "ours", [300], clients=32))
    assert found("ours ÷ toolkit", only_ours)["met"] is None


def test_int8_is_not_mistaken_for_fp32():
    given = report(
        line("short-distilbert", "ours", [300], clients=32),
        line("short-distilbert", "ours", [700], "int8", clients=32),
        line("short-distilbert", "toolkit", [40], clients=32),
    )
    assert found("ours ÷ toolkit", given)["median"] == pytest.approx(7.5)
    assert found("ours int8 ÷ toolkit", given)["median"] == pytest.approx(17.5)


def test_the_tail_is_compared_at_the_toolkits_best_number_of_clients():
    given = report(
        line("short-distilbert", "toolkit", [20], clients=1) | {"rounds": [{"rate": 20, "p99_ms": 60}]},
        line("short-distilbert", "toolkit", [45], clients=8) | {"rounds": [{"rate": 45, "p99_ms": 400}]},
        line("short-distilbert", "toolkit", [30], clients=32) | {"rounds": [{"rate": 30, "p99_ms": 2000}]},
        line("short-distilbert", "ours", [], load="open", variant="the toolkit's maximum")
        | {"rounds": [{"rate": 45, "p99_ms": 40}]},
    )
    result = found("p99", given)
    assert result["median"] == pytest.approx(0.1)
    assert result["met"] is True


def test_one_client_is_a_difference_and_less_is_better():
    given = report(
        line("short-minilm", "ours", [5.5, 6.5], clients=1, figure="p50_ms"),
        line("short-minilm", "ceiling", [4.0, 4.5], load="batch", batch=1, clients=1, figure="p50_ms"),
    )
    result = found("one client", given)
    assert result["median"] == pytest.approx(1.75)
    assert result["met"] is False


def test_padding_is_compared_at_the_same_batch():
    lines = [
        line("mixed-minilm", "naive padding", [rate], load="batch", batch=rows) for rows, rate in ((8, 90), (32, 60))
    ]
    given = report(line("mixed-minilm", "ours", [150], clients=64), *lines)
    assert found("mixed", given)["median"] == pytest.approx(2.5)


@pytest.mark.parametrize(("workers", "met"), [("2 workers × 1 thread", True), ("1 worker × 2 threads", None)])
def test_memory_is_held_against_two_workers(workers: str, met: bool | None):
    given = report(
        line("short-distilbert", "ours", [400], clients=32, figure="pss_mb"),
        line("short-distilbert", "toolkit", [1600], clients=32, figure="pss_mb"),
    )
    given["systems"] = [{"name": "toolkit", "version": workers}]
    assert found("resident memory", given)["met"] is met


def test_a_ceiling_that_is_beaten_is_found():
    ceiling = line("long-minilm", "ceiling", [50, 51, 50], **CEILING)
    below = report(ceiling, line("long-minilm", "ours", [49, 50, 49], clients=64))
    assert targets.beaten_ceilings(below) == []
    above = report(ceiling, line("long-minilm", "ours", [55, 56, 55], clients=64))
    [message] = targets.beaten_ceilings(above)
    assert "long-minilm fp32" in message
    assert "64 clients" in message
    through_grpc = report(ceiling, line("long-minilm", "ours-grpc", [55, 56, 55], clients=8))
    assert targets.beaten_ceilings(through_grpc)


def test_noise_does_not_beat_a_ceiling():
    slightly = report(
        line("long-minilm", "ceiling", [50, 50, 50], **CEILING),
        line("long-minilm", "ours", [50.6, 50.7, 50.6], clients=64),
    )
    assert targets.beaten_ceilings(slightly) == []
    # A ceiling whose own rounds are 20 % apart says nothing of 8 %.
    loose = report(
        line("long-minilm", "ceiling", [45, 50, 55], **CEILING),
        line("long-minilm", "ours", [48.6, 54, 59.4], clients=64),
    )
    assert targets.beaten_ceilings(loose) == []


def test_one_answer_more_does_not_beat_a_ceiling():
    for requests, wrong in ((12, False), (50, True)):
        ours = line("image", "ours", [6.0, 6.0, 6.0], clients=8)
        for each in ours["rounds"]:
            each["requests"] = requests
        found = targets.beaten_ceilings(report(line("image", "ceiling", [5.6, 5.6, 5.6], **CEILING), ours))
        assert bool(found) is wrong


def test_the_ceiling_of_one_precision_is_none_of_another():
    given = report(
        line("short-minilm", "ceiling", [100, 100], **CEILING),
        line("short-minilm", "ours", [250, 250], "int8", clients=64),
    )
    assert targets.beaten_ceilings(given) == []


def test_every_target_of_the_table_is_there():
    bounds = {(each.op, each.target, each.unit) for each in targets.TARGETS}
    wanted = {(">=", value, "x") for value in (0.88, 0.97, 6.0, 15.0, 0.8, 2.0)} | {("<=", 0.2, "x"), ("<=", 0.4, "x")}
    assert bounds == wanted | {("<=", 1.0, "ms"), ("<=", 2.5, "s")}
    assert len(targets.TARGETS) == 10
