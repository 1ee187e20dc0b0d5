"""Containers, models for them, and what a run showed of each clause."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.platform.clauses import CLAUSES
from tests.platform.container import KILL_SECONDS, Container, forbidden
from tests.platform.results import RESULTS, Results

Run = Callable[..., Container]
_RESULTS = pytest.StashKey[Results]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "clause(*ids): the clauses of the contract that a test shows")
    config.stash[_RESULTS] = Results()


def ids_of(item: pytest.Item) -> list[str]:
    """The clauses that a test shows. KeyError where there is no such clause."""
    ids = [each for mark in item.iter_markers("clause") for each in mark.args]
    for each in ids:
        CLAUSES[each]
    return ids


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    report = yield
    # A failure before or behind the test is one of its clauses too; a pass is the test's own.
    if report.outcome != "passed" or report.when == "call":
        message = report.longrepr[2] if isinstance(report.longrepr, tuple) else _message(report.longrepr)
        for clause in ids_of(item):
            item.config.stash[_RESULTS].note(clause, report.outcome, message)
    return report


def _message(error: Any) -> str:
    crash = getattr(error, "reprcrash", None)
    return crash.message if crash else str(error or "")


def pytest_sessionfinish(session: pytest.Session) -> None:
    where = os.environ.get(RESULTS)
    if where:
        session.config.stash[_RESULTS].write(Path(where))


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run a container on a folder for /opt/ml until the end of all tests."""
    reason = forbidden()
    if reason:
        pytest.skip(reason)
    started: list[Container] = []

    def start(ml: Path, env: Mapping[str, str] | None = None, **settings: Any) -> Container:
        started.append(Container(ml, tmp_path_factory.mktemp("container"), env, **settings))
        return started[-1]

    yield start
    for container in started:
        if container.running:
            container.terminate()
    ends = [container.stop() for container in started]
    assert not any(end.killed for end in ends), f"not ended within {KILL_SECONDS} s of SIGTERM"


@pytest.fixture(scope="module")
def run(start: Run) -> Iterator[Run]:
    """The same until the end of a module; nobody waits for that before all is over."""
    started: list[Container] = []

    def run(*arguments: Any, **settings: Any) -> Container:
        started.append(start(*arguments, **settings))
        return started[-1]

    yield run
    for container in started:
        if container.running:
            container.terminate()


@pytest.fixture(scope="session")
def ml(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A folder for /opt/ml with a copy of a model in it; without a model, the folder that models are brought to."""

    def ml(model: Path | None = None) -> Path:
        folder = tmp_path_factory.mktemp("ml")
        if model is None:
            (folder / "models").mkdir()
        else:
            shutil.copytree(model, folder / "model")
        return folder

    return ml


@pytest.fixture(scope="session")
def obedient(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a model that does what bodies say; `settings` are what it does by itself."""
    numbers = itertools.count()

    def obedient(**settings: Any) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"obedient-{next(numbers)}"
        shutil.copytree(Path(__file__).with_name("obedient"), folder)
        (folder / "code" / "settings.json").write_text(json.dumps(settings))
        return folder

    return obedient


@pytest.fixture(scope="session")
def classifier_entry(convert: Callable[..., Any], built: Callable[..., Path]) -> Path:
    """A tiny classifier of three labels, converted."""
    return convert(built("bert", num_labels=3)).path


@pytest.fixture(scope="session")
def classifier(start: Run, ml: Callable[..., Path], classifier_entry: Path) -> Container:
    """A container with a classifier whose requests are batched."""
    return start(ml(classifier_entry)).wait()


@pytest.fixture(scope="session")
def scripted(start: Run, ml: Callable[..., Path], obedient: Callable[..., Path]) -> Container:
    """A container with the obedient model, in two processes."""
    return start(ml(obedient(word="tea")), {"SAGEMAKER_MODEL_SERVER_WORKERS": "2"}).wait()


@pytest.fixture(scope="session")
def artifacts(obedient: Callable[..., Path], classifier_entry: Path, built: Callable[..., Path]) -> dict[str, Path]:
    """Target models by name."""
    broken = obedient()
    (broken / "code" / "inference.py").write_text("def model_fn(model_dir):\n    raise ValueError('stewed')\n")
    return {
        "green.tar.gz": obedient(word="green"),
        "black.tar.gz": obedient(word="black"),
        "slow.tar.gz": obedient(word="slow", load_seconds=4),
        "entry.tar.gz": classifier_entry,
        "weights.tar.gz": built("bert", num_labels=3),
        "broken.tar.gz": broken,
        **{f"heavy-{number}": obedient(word=str(number), megabytes=500) for number in range(3)},
        **{f"light-{number}": obedient(word=str(number)) for number in range(103)},
    }


@pytest.fixture
def slow_allowed() -> None:
    """For tests of minutes or gigabytes."""
    if not os.environ.get("CONTRACT_SLOW"):
        pytest.skip("takes minutes or gigabytes: CONTRACT_SLOW=1 runs it")
