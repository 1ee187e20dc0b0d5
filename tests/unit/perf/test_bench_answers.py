"""Answers are compared so that a wrong one is found."""

import math
from pathlib import Path

import pytest

from perf.bench import answers, requests
from server.bench import prometheus


@pytest.mark.parametrize(
    ("task", "precision", "expected", "got", "difference"),
    [
        ("sentence-embedding", "fp32", [0.5, 0.5], [0.5, 0.25], 0.25),
        ("sentence-embedding", "fp32", [0.5, 0.5], [0.5], math.inf),
        ("sentence-embedding", "int8", [1.0, 0.0], [2.0, 0.0], 0.0),
        ("sentence-embedding", "int8", [1.0, 0.0], [0.0, 1.0], 1.0),
        ("text-classification", "fp32", {"A": 0.9}, {"A": 0.8, "B": 0.2}, 0.1),
        ("text-classification", "fp32", {"A": 0.51}, {"B": 0.51}, 0.02),
        ("text-classification", "fp32", {"A": 0.9, "B": 0.1}, {"C": 1.0}, math.inf),
        ("question-answering", "fp32", {"answer": "a", "score": 0.4}, {"answer": "a", "score": 0.3}, 0.25),
        ("question-answering", "fp32", {"answer": "a", "score": 0.4}, {"answer": "b", "score": 0.4}, math.inf),
        ("text-generation", "fp32", "one two", "one two", 0.0),
        ("text-generation", "fp32", "one two", "one too", math.inf),
    ],
)
def test_differences(task: str, precision: str, expected: object, got: object, difference: float):
    found = answers.difference(task, precision, expected, got)
    assert found == pytest.approx(difference) if math.isfinite(difference) else found == math.inf


def test_every_task_has_a_tolerance_that_a_wrong_answer_exceeds():
    for (task, precision), tolerance in answers.TOLERANCES.items():
        wrong = {
            "sentence-embedding": ([0.05, 0.0], [0.0, 0.05]),
            "text-classification": ({"A": 0.9}, {"A": 0.5}),
            "image-classification": ({"A": 0.9}, {"A": 0.5}),
            "question-answering": ({"answer": "a", "score": 0.1}, {"answer": "a", "score": 0.2}),
            "text-generation": ("a", "b"),
        }[task]
        assert answers.difference(task, precision, *wrong) > tolerance


def test_shapes_of_answers():
    scores = [{"label": "A", "score": 0.7}, {"label": "B", "score": 0.3}]
    for given in (scores, [scores]):
        assert requests.normal("text-classification", given) == {"A": 0.7, "B": 0.3}
    assert requests.normal("text-classification", scores[0]) == {"A": 0.7}
    assert requests.normal("sentence-embedding", [[1, 2]]) == [1.0, 2.0]
    assert requests.normal("question-answering", {"answer": "x", "score": 1, "start": 0}) == {
        "answer": "x",
        "score": 1.0,
    }
    assert requests.normal("text-generation", [{"generated_text": "x"}]) == "x"


def test_items_become_requests():
    assert requests.body("hello")[0] == b'{"inputs": "hello"}'
    assert requests.body({"question": "q", "context": "c"})[0] == b'{"inputs": {"question": "q", "context": "c"}}'
    body, _ = requests.body({"prompt": "p", "parameters": {"max_new_tokens": 1}})
    assert body == b'{"inputs": "p", "parameters": {"max_new_tokens": 1}}'


METRICS = """
# TYPE triton_hf_request_seconds histogram
triton_hf_request_seconds_bucket{le="+Inf"} 10
triton_hf_request_seconds_sum 0.2
triton_hf_request_seconds_count 10
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="m",version="1"} 10
# TYPE nv_inference_queue_duration_us counter
nv_inference_queue_duration_us{model="m",version="1"} 10000
# TYPE nv_inference_compute_input_duration_us counter
nv_inference_compute_input_duration_us{model="m",version="1"} 2000
# TYPE triton_hf_answered_total counter
triton_hf_answered_total{model="m"} 10
# TYPE triton_hf_runs_total counter
triton_hf_runs_total{model="m"} 4
# TYPE triton_hf_rows_total counter
triton_hf_rows_total{model="m"} 10
# TYPE triton_hf_stage_seconds_total counter
triton_hf_stage_seconds_total{model="m",stage="queue"} 0.03
triton_hf_stage_seconds_total{model="m",stage="infer"} 0.1
# TYPE triton_hf_stage_cpu_seconds_total counter
triton_hf_stage_cpu_seconds_total{model="m",stage="infer"} 0.05
"""


def test_where_the_time_goes():
    added = prometheus.difference({}, prometheus.parse(METRICS))
    assert prometheus.mean_batch(added) == 2.5
    wall = prometheus.stages_ms(added)
    assert wall is not None
    assert wall == pytest.approx(
        {"adapter": 20 - 13 - 1.2, "wire": 0, "triton": 1.2, "queue": 3, "tokenise": 0, "infer": 10, "encode": 0}
    )
    assert prometheus.stages_cpu_us(added) == pytest.approx({"infer": 5000})


def test_what_was_counted_before_is_left_out():
    before = prometheus.parse(METRICS)
    assert prometheus.mean_batch(prometheus.difference(before, before)) is None
    assert prometheus.stages_ms(prometheus.difference(before, before)) is None


def test_sample_mixes_lengths(tmp_path: Path):
    from perf.bench import workloads

    items = workloads.items("short-minilm", tmp_path)
    workload = workloads.Workload("short-minilm", "minilm", "sentence-embedding", tmp_path, items, "")
    assert len({len(item.split()) for item in answers.sample(workload)}) > 10
