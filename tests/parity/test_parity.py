"""Every case alone and in a crowd against the model's own library, each with a control."""

from __future__ import annotations

from typing import Any

import pytest

from huggingface_backend.errors import RequestError
from tests.parity.bench import Bench, BuildBench
from tests.parity.case import MISSING, Case, Subject
from tests.parity.cases import SUBJECTS
from tests.parity.compare import Difference, compare
from tests.parity.crowd import ask, ask_crowded
from tests.parity.results import Results

# The pipelines warn of what is deprecated, of lengths and of sampling; what they answer counts here.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", params=SUBJECTS, ids=lambda subject: subject.id)
def subject(request: pytest.FixtureRequest) -> Subject:
    """One subject after the other, with all of its tests."""
    chosen: Subject = request.param
    return chosen


@pytest.fixture(scope="module")
def bench(subject: Subject, build_bench: BuildBench, results: Results) -> Bench:
    try:
        bench = build_bench(subject)
    except Exception as error:
        results.of(subject.id).failed["(model)"] = f"{type(error).__name__}: {error}"
        raise
    results.of(subject.id).tier = bench.tier
    return bench


def against(answer: Any, reference: Any) -> Difference:
    if isinstance(answer, RequestError):
        return Difference(f"{answer.status} {answer}")
    return compare(answer, reference)


def refer(bench: Bench, case: Case, **which: bool) -> Any:
    """The reference's answer; its own failure is named, so that it is not taken for ours."""
    try:
        return bench.reference.answer(case, **which)
    except Exception as error:
        pytest.fail(f"the reference itself fails on {case.name} {which or ''}: {type(error).__name__}: {error}")


def test_answers(subject: Subject, bench: Bench, results: Results) -> None:
    """Alone, then all of them several times in mixed batches."""
    references = [refer(bench, case) for case in subject.cases]
    bodies = [case.body() for case in subject.cases]
    failures = []
    for case, body, reference in zip(subject.cases, bodies, references, strict=True):
        difference = against(ask(bench.handler, [body])[0], reference)
        results.note(subject.id, case.name, difference, crowded=False)
        if not difference.passed:
            failures.append(f"{case.name} alone: {difference}")
    crowd = ask_crowded(bench.handler, bodies)
    for case, answers, reference in zip(subject.cases, crowd, references, strict=True):
        for answer in answers:
            difference = against(answer, reference)
            results.note(subject.id, case.name, difference, crowded=True)
            if not difference.passed:
                failures.append(f"{case.name} in a crowd: {difference}")
                break
    assert not failures, "\n".join(failures)


def test_controls(subject: Subject, bench: Bench) -> None:
    """Another input's answer does not pass, ours or the library's, and a parameter left out shows."""
    failures = []
    for case in subject.cases:
        assert case.wrong is not MISSING, f"{case.name} has no control"
        reference = refer(bench, case)
        spread = compare(refer(bench, case, wrong=True), reference)
        if not spread.spread:
            failures.append(f"{case.name}: another input's answer is too near: {spread}")
        if against(ask(bench.handler, [case.body(wrong=True)])[0], reference).passed:
            failures.append(f"{case.name}: our answer to another input passes")
        if case.parameters and not case.idle:
            try:
                bare = bench.reference.answer(case, bare=True)
            except Exception:
                # Not even an answer without the parameters.
                continue
            if compare(bare, reference).passed:
                failures.append(f"{case.name}: the parameters change nothing")
    assert not failures, "\n".join(failures)
