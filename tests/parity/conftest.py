"""The zoo, the benches and what a run found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.parity.bench import Bench, BuildBench
from tests.parity.case import Subject
from tests.parity.results import RESULTS, Results
from tests.parity.zoo import build


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("zoo")
    return lambda name: build(name, root)


@pytest.fixture(scope="session")
def results() -> Iterator[Results]:
    """What the run found, kept for the table where the environment names a file."""
    results = Results()
    yield results
    where = os.environ.get(RESULTS)
    if where:
        results.write(Path(where))


@pytest.fixture(scope="session")
def build_bench(zoo: Callable[[str], Path], cache: Path) -> Iterator[BuildBench]:
    """Benches; the one before is closed, since the tests go subject by subject."""
    last: list[Bench] = []

    def build_bench(subject: Subject) -> Bench:
        while last:
            last.pop().handler.close()
        last.append(Bench(subject, zoo(subject.model), cache))
        return last[0]

    yield build_bench
    while last:
        last.pop().handler.close()
