"""Scripts as people write them answer here as under the real toolkit, whose answers `tests.toolkit.record` keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from converters.entry import place
from converters.errors import ConversionError
from tests.serving import Server
from tests.toolkit.cases import Answer, Case, Request, load, names
from tests.toolkit.compare import difference, failure, intended

CASES = {name: load(name) for name in names()}
REQUESTS = [
    pytest.param(case, request, id=f"{name}-{request.name}")
    for name, case in CASES.items()
    for request in case.requests
]
Ask = Callable[[Case, Request], Answer]


@pytest.fixture(scope="module")
def ask(
    tmp_path_factory: pytest.TempPathFactory, built: Callable[..., Path], convert: Callable[..., Any]
) -> Iterator[Ask]:
    """Ask the one server that has an entry for each case."""
    root = tmp_path_factory.mktemp("user_code")
    refused: dict[str, ConversionError] = {}
    for name, case in CASES.items():
        try:
            place(convert(case.build(root / "models" / name, built)).path, root / "repository", name)
        except ConversionError as error:
            refused[name] = error
    server = Server("--repository", str(root / "repository"), log=root / "serve.log").wait()

    def ask(case: Case, request: Request) -> Answer:
        if case.name in refused:
            raise refused[case.name]
        return request.send(server.client, f"/models/{case.name}/invoke")

    yield ask
    server.stop()


@pytest.mark.parametrize(("case", "request_"), REQUESTS)
def test_a_script_answers_as_under_the_toolkit(case: Case, request_: Request, ask: Ask) -> None:
    expected = intended(case.recording[request_.name], request_.ours)
    answer = ask(case, request_)
    assert difference(expected, answer) is None
    stated = failure(answer)
    if request_.ours and "message" in request_.ours:
        assert stated is not None and request_.ours["message"] in stated["message"]
    if stated is not None:
        assert "Traceback" not in stated["message"] and len(stated["message"]) < 2048


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_answers_are_the_same_when_many_ask_at_once(case: Case, ask: Ask) -> None:
    requests = [request for _ in range(3) for request in case.requests]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda request: ask(case, request), requests))
    for request, answer in zip(requests, answers, strict=True):
        assert difference(intended(case.recording[request.name], request.ours), answer) is None, request.name


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_request_is_recorded_and_every_exception_is_one(case: Case) -> None:
    assert {request.name for request in case.requests} == set(case.recording)
    for request in case.requests:
        if request.ours is not None:
            recorded = case.recording[request.name]
            assert request.ours["why"]
            assert difference(recorded, intended(recorded, request.ours)) is not None, f"{request.name} is no exception"


@pytest.mark.parametrize(
    ("name", "asked", "other"),
    [
        ("mean_pooling", "one word", "a sentence"),
        ("given_pipeline", "one text", "a list"),
        ("images", "png to png", "transparent png to png"),
        ("images", "png to bmp", "png to tiff"),
        ("arrays", "npy to npy", "npy of integers to npy"),
        ("tables", "csv to csv", "questions"),
        ("context", "a header out", "several headers out"),
        ("context", "created", "a teapot with a header"),
    ],
)
def test_another_answer_is_not_taken_for_the_right_one(name: str, asked: str, other: str, ask: Ask) -> None:
    """The control: what is compared above can differ."""
    case = CASES[name]
    [request] = [request for request in case.requests if request.name == asked]
    answer = ask(case, request)
    assert difference(case.recording[asked], answer) is None
    assert difference(case.recording[other], answer) is not None


def test_a_float_is_compared_and_not_its_neighbourhood() -> None:
    def answer(text: str, content_type: str = "application/json") -> Answer:
        return Answer(200, content_type, {}, text.encode())

    assert difference(answer('{"a": [0.50001]}'), answer('{"a":[0.50002]}')) is None
    assert difference(answer('{"a": [0.501]}'), answer('{"a":[0.502]}')) is not None
    assert difference(answer("[1]"), answer("[1.0]")) is not None
    assert difference(answer("a,0.50001", "text/csv"), answer("a,0.50002", "text/csv")) is None
    assert difference(answer("a,0.501", "text/csv"), answer("a,0.502", "text/csv")) is not None
