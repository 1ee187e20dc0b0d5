"""What the tiers around transformers take holds all that its pipelines take, and every case of the table."""

from __future__ import annotations

import pytest

from huggingface_backend.input_shapes import INPUTS
from huggingface_backend.parameter_kinds import FORBIDDEN
from huggingface_backend.pipeline_inputs import check
from huggingface_backend.pipeline_parameters import GENERATION, TABLE
from huggingface_backend.tasks import TASKS
from huggingface_backend.tasks.base import PIPELINE_PARAMETERS
from tests.parity import parameters
from tests.parity.cases import SUBJECTS, Subject

OF_THE_FAST_TIER = frozenset({"question-answering", "sentence-similarity", "text-ranking"})
"""Tasks whose inputs are checked by the code that answers them on the fast tier."""


@pytest.mark.parametrize("task", TABLE)
def test_every_parameter_of_a_pipeline_is_known(task: str) -> None:
    missing = set(parameters.parameters(task)) - set(TABLE[task]) - {*PIPELINE_PARAMETERS, "seed"}
    assert not missing


def test_every_field_of_a_generation_is_known() -> None:
    from transformers import GenerationConfig

    fields = {name for name in vars(GenerationConfig()) if not name.startswith("_")}
    assert not fields - set(GENERATION)
    assert not FORBIDDEN & set(GENERATION)


def test_every_task_is_known() -> None:
    tasks = {"translation" if subject.task.startswith("translation") else subject.task for subject in SUBJECTS}
    assert tasks | set(TASKS) == set(TABLE)
    assert set(TABLE) - set(INPUTS) == OF_THE_FAST_TIER


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.id)
def test_no_case_is_refused(subject: Subject) -> None:
    for case in subject.cases:
        for wrong in (False, True):
            body = case.body(wrong=wrong)
            check(subject.task, body["inputs"], body.get("parameters", {}))
