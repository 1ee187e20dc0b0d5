"""The accelerated tier: calls share forward passes and none sees the others."""

from __future__ import annotations

import copy
import itertools
import queue
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from converters.worker import accelerated
from converters.worker.protocol import Job
from huggingface_backend import generation
from huggingface_backend.errors import InvalidInput
from huggingface_backend.manifest import Manifest
from huggingface_backend.messages import Token
from huggingface_backend.onnx_pipeline import OnnxPipeline
from huggingface_backend.session import Counters
from huggingface_backend.torch_pipeline import build
from tests.models import texts
from tests.parity.zoo import build as build_model

pytestmark = pytest.mark.filterwarnings("ignore")

GREEDY = {"max_new_tokens": 6, "do_sample": False}


class Loaded:
    """An entry's pipeline, its reference and what ran."""

    def __init__(self, task: str, source: Path, target: Path) -> None:
        fields = accelerated.convert(Job(str(source), str(target), task), lambda *_a, **_k: None)
        self.manifest = Manifest(**{**fields, "tokenizer": None, "gate": None})
        self.folder, self.reference = target, build(task, source)
        self.seen = Counters()
        self.pipe = OnnxPipeline(self.manifest, target, report=self._keep)

    def _keep(self, counters: Counters) -> None:
        self.seen = copy.copy(counters)

    def ask(self, inputs: Any, **parameters: Any) -> Any:
        outcome: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.pipe.submit(inputs, parameters, outcome.put)
        return outcome.get(timeout=60)

    def together(self, calls: list[tuple[Any, dict[str, Any]]]) -> tuple[list[Any], int]:
        """The outcomes of calls that wait together, and the passes they took."""
        runs = self.seen.runs
        outcomes = self.pipe.ask_together(calls)
        return outcomes, self.seen.runs - runs


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    root = tmp_path_factory.mktemp("gpt2")
    (root / "entry").mkdir()
    loaded = Loaded("text-generation", build_model("gpt2", root), root / "entry")
    yield loaded
    loaded.pipe.close()


def test_prompts_of_all_lengths_share_a_pass(gpt2: Loaded) -> None:
    assert gpt2.manifest.batching == "padded"
    prompts = texts(12, longest=20)
    expected = [gpt2.reference(prompt, **GREEDY) for prompt in prompts]
    answers, runs = gpt2.together([(prompt, GREEDY) for prompt in prompts])
    assert answers == expected
    assert runs == 1
    assert len({str(answer) for answer in answers}) == len(prompts)


def test_parameters_part_passes(gpt2: Loaded) -> None:
    prompts = texts(8, longest=20, seed=1)
    calls = [(prompt, {**GREEDY, "max_new_tokens": 4 + index % 2}) for index, prompt in enumerate(prompts)]
    answers, runs = gpt2.together(calls)
    assert answers == [gpt2.reference(prompt, **parameters) for prompt, parameters in calls]
    assert runs == 2


@pytest.mark.parametrize(
    "parameters",
    [
        {"repetition_penalty": 1.8},
        {"no_repeat_ngram_size": 2},
        {"max_length": 30, "max_new_tokens": None},
        {"min_length": 25},
        {"return_tensors": True},
        {"skip_special_tokens": False},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_padding_is_kept_from_what_would_see_it(gpt2: Loaded, parameters: dict[str, Any]) -> None:
    prompts = texts(6, shortest=2, longest=12, seed=2)
    wanted = {**GREEDY, **parameters}
    answers, _ = gpt2.together([(prompt, wanted) for prompt in prompts])
    assert answers == [gpt2.reference(prompt, **wanted) for prompt in prompts]


def test_a_list_is_one_pass(gpt2: Loaded) -> None:
    prompts = texts(5, seed=3)
    [answer], runs = gpt2.together([(prompts, GREEDY)])
    assert answer == gpt2.reference(prompts, **GREEDY)
    assert runs == 1


def test_a_seed_decides_whoever_else_is_served(gpt2: Loaded) -> None:
    import torch

    calls: list[tuple[Any, dict[str, Any]]] = [
        (prompt, {"max_new_tokens": 6, "do_sample": True, "seed": seed}) for seed, prompt in enumerate(texts(4, seed=4))
    ]
    expected = []
    for prompt, parameters in calls:
        torch.manual_seed(parameters["seed"])
        expected.append(gpt2.reference(prompt, **{k: v for k, v in parameters.items() if k != "seed"}))
    torch.manual_seed(7)
    both = [prompt for prompt, _ in calls[:2]]
    expected.append(gpt2.reference(both, max_new_tokens=6, do_sample=True))
    calls.append((both, {"max_new_tokens": 6, "do_sample": True, "seed": 7}))
    noise = [(prompt, {"max_new_tokens": 6, "do_sample": True}) for prompt in texts(4, seed=5)]
    answers, _ = gpt2.together([*noise, *calls])
    assert answers[4:] == expected
    other = gpt2.ask(calls[0][0], **{**calls[0][1], "seed": 99})
    assert other != expected[0]


def test_a_bad_call_leaves_its_neighbours_alone(gpt2: Loaded) -> None:
    good = texts(3, seed=6)
    bad: list[tuple[Any, dict[str, Any]]] = [
        (" ".join(texts(40, shortest=5, longest=9)), GREEDY),
        (good[0], {**GREEDY, "unheard": 1}),
        (good[0], {**GREEDY, "seed": "seven"}),
        (3, GREEDY),
    ]
    answers, _ = gpt2.together([*bad, *[(prompt, GREEDY) for prompt in good]])
    for refused in answers[: len(bad)]:
        assert isinstance(refused, InvalidInput)
    assert "tokens, the model takes" in str(answers[0])
    assert answers[len(bad) :] == [gpt2.reference(prompt, **GREEDY) for prompt in good]


def test_the_gate_can_fail() -> None:
    assert accelerated.compare([{"a": [1.0, 2.0]}], [{"a": [1.0, 2.0]}]).verdict == "passed"
    assert accelerated.compare([{"a": [1.0, 2.1]}], [{"a": [1.0, 2.0]}]).verdict == "failed"
    assert accelerated.compare([{"a": "cat"}], [{"a": "dog"}]).verdict == "failed"
    assert accelerated.compare([[1.0]], [[1.0, 1.0]]).verdict == "failed"
    assert accelerated.compare([InvalidInput("no")], [[1.0]]).verdict == "failed"


def test_answers_that_padding_changes_keep_lengths_apart(tmp_path: Path) -> None:
    (tmp_path / "entry").mkdir()
    loaded = Loaded("audio-classification", build_model("wav2vec2-classifier", tmp_path), tmp_path / "entry")
    try:
        assert loaded.manifest.batching == "equal"
    finally:
        loaded.pipe.close()
        shutil.rmtree(tmp_path / "entry")


class Client:
    """Someone who reads a text, and goes after some of its tokens."""

    def __init__(self, tokens: int) -> None:
        self._most, self.told = tokens, list[Token]()

    def tell(self, token: Token) -> None:
        self.told.append(token)

    def gone(self) -> bool:
        return len(self.told) >= self._most


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny models end before a client is asked for a second time."""
    monkeypatch.setattr(generation, "LOOK", 0.0)


@pytest.mark.usefixtures("watched")
def test_a_stream_tells_the_answer_and_who_goes_ends_only_his_own(gpt2: Loaded) -> None:
    parameters = {"max_new_tokens": 60, "min_new_tokens": 60, "do_sample": False, "return_full_text": False}
    prompts = texts(8, longest=12, seed=8)
    expected = [gpt2.reference(prompt, **parameters)[0]["generated_text"] for prompt in prompts]
    clients = [Client(1 if index % 2 else 1000) for index in range(8)]
    outcomes: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in prompts]
    gpt2.pipe._forwards.open.clear()
    for prompt, client, outcome in zip(prompts, clients, outcomes, strict=True):
        gpt2.pipe.submit(prompt, parameters, outcome.put, client.gone, client.tell)
    gpt2.pipe._forwards.open.set()
    for client, outcome, text in zip(clients, outcomes, expected, strict=True):
        answer = outcome.get(timeout=60)
        if client.gone():
            assert (answer.status, len(client.told) < 60) == (499, True)
        else:
            assert answer == [{"generated_text": text}]
            assert "".join(token.text for token in client.told) == text
            assert [token.last for token in client.told] == [False] * 59 + [True]


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("parameters", [{"num_beams": 3}, {"num_return_sequences": 2, "do_sample": True}])
def test_who_goes_ends_several_texts_at_once(gpt2: Loaded, parameters: dict[str, Any]) -> None:
    asked, outcome = itertools.count(), queue.SimpleQueue[Any]()
    for _ in range(2):
        # A pass is counted before the next one begins, and not before its rows are answered.
        gpt2.ask("tea", **GREEDY)
    given_up = gpt2.seen.cancelled
    long = {"max_new_tokens": 70, "min_new_tokens": 70}
    gpt2.pipe.submit("seven wizards", {**long, **parameters}, outcome.put, lambda: next(asked) > 5)
    assert outcome.get(timeout=60).status == 499
    for _ in range(2):
        assert gpt2.ask("tea", **GREEDY) == gpt2.reference("tea", **GREEDY)
    assert gpt2.seen.cancelled == given_up + 1
    assert next(asked) < 20


def test_a_row_that_has_ended_does_not_wait_for_its_neighbours(gpt2: Loaded) -> None:
    long = {"max_new_tokens": 70, "do_sample": False, "eos_token_id": list(range(100, 130))}
    written = {}
    for prompt in texts(24, longest=12, seed=9):
        [answer] = gpt2.reference(prompt, return_tensors=True, **long)
        written[prompt] = len(answer["generated_token_ids"]) - len(gpt2.reference.tokenizer(prompt)["input_ids"])
    # In the order in which a pass that ends as a whole could not answer them.
    prompts = sorted(written, key=lambda prompt: -written[prompt])
    assert written[prompts[-1]] < written[prompts[0]]
    ended = queue.SimpleQueue[str]()
    gpt2.pipe._forwards.open.clear()
    for prompt in prompts:
        gpt2.pipe.submit(prompt, long, partial(_put, ended, prompt))
    gpt2.pipe._forwards.open.set()
    order = [written[ended.get(timeout=60)] for _ in prompts]
    assert order[0] < written[prompts[0]]


def _put(ended: queue.SimpleQueue[str], prompt: str, _answer: object) -> None:
    ended.put(prompt)
