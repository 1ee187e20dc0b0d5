"""The page of tasks leaves none out, and the comparison lets nothing wrong pass."""

from __future__ import annotations

from typing import Any

import pytest

from converters.tasks import PIPELINE_TASKS
from tests.parity import parameters
from tests.parity.cases import SUBJECTS
from tests.parity.compare import compare
from tests.parity.media import Picture
from tests.parity.table import PAGE, TASKS


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_its_row(task: str) -> None:
    page = PAGE.read_text("utf-8")
    models, _, rest = page.partition("## Parameters")
    assert f"\n| {task} |" in models
    assert f"\n| {task} |" in rest


@pytest.mark.parametrize("task", (*PIPELINE_TASKS, *parameters.OWN))
def test_every_parameter_has_a_case_or_a_reason(task: str) -> None:
    assert any(subject.task == task for subject in SUBJECTS)
    assert not parameters.coverage(task)[1]


def test_the_parameters_are_found() -> None:
    """In a signature, and where a pipeline looks into its keywords."""
    assert {"stride", "aggregation_strategy"} <= set(parameters.parameters("token-classification"))
    assert {"candidate_labels", "multi_label", "multi_class"} <= set(parameters.parameters("zero-shot-classification"))
    assert "threshold" in parameters.parameters("object-detection")


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ([{"label": "a", "score": 0.5}], [{"label": "b", "score": 0.5}]),
        ([0.5, 0.25], [0.5, 0.2502]),
        ([[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]]),
        ([1.0, 2.0], [1.0, None]),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": True}, {"a": 1}),
        ("tea", "rain"),
        ([], [1.0]),
        (Picture(1).text(), Picture(2).text()),
        (Picture(1).text(), Picture(1, 33).text()),
    ],
)
def test_differences_do_not_pass(answer: Any, reference: Any) -> None:
    assert not compare(answer, reference).passed
    assert not compare(reference, answer).passed


def test_rounding_passes() -> None:
    assert compare([{"score": 0.50001, "at": [1, 2]}], [{"score": 0.5, "at": [1, 2]}]).passed
    assert compare([10000.5], [10000.0]).passed
    assert compare(Picture(1).text(), Picture(1).text()).passed
