"""What no answer fits is refused with 422 and a hint, and its neighbours in the batch are answered."""

from __future__ import annotations

import re

import pytest

from huggingface_backend.errors import InvalidInput, RequestError
from tests.parity.bad import TABLE_OF_BAD, subjects
from tests.parity.bench import Bench, BuildBench
from tests.parity.case import Subject
from tests.parity.cases import SUBJECTS
from tests.parity.compare import compare
from tests.parity.crowd import ask

pytestmark = pytest.mark.filterwarnings("ignore")


def test_every_task_has_bad_requests() -> None:
    assert {subject.task for subject in SUBJECTS if not subject.task.startswith("translation_")} == set(TABLE_OF_BAD)


@pytest.fixture(scope="module", params=list(subjects()), ids=lambda subject: subject.task)
def refused(request: pytest.FixtureRequest) -> Subject:
    chosen: Subject = request.param
    return chosen


@pytest.fixture(scope="module")
def bench(refused: Subject, build_bench: BuildBench) -> Bench:
    return build_bench(refused)


def test_refusals(refused: Subject, bench: Bench) -> None:
    """Each bad request between two good ones."""
    good = min(refused.cases, key=lambda case: "seed" in case.parameters)
    body = good.body()
    alone = ask(bench.handler, [body])[0]
    assert not isinstance(alone, RequestError), alone
    failures = []
    for bad in TABLE_OF_BAD[refused.task]:
        before, outcome, after = ask(bench.handler, [body, bad.body(), body])
        if not isinstance(outcome, RequestError):
            failures.append(f"{bad.name}: answered with {str(outcome)[:80]}")
        elif not isinstance(outcome, InvalidInput) or outcome.status != 422:
            failures.append(f"{bad.name}: {outcome.status} {outcome.type}: {str(outcome)[:160]}")
        elif not re.search(bad.message, str(outcome)):
            failures.append(f"{bad.name}: the message does not speak of /{bad.message}/: {str(outcome)[:160]}")
        failures += [
            f"{bad.name}: a neighbour got {str(neighbour)[:80]}"
            for neighbour in (before, after)
            if isinstance(neighbour, RequestError) or not compare(neighbour, alone).passed
        ]
    assert not failures, "\n".join(failures)
