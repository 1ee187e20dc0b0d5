"""The SageMaker SDK, from `HuggingFaceModel` to what `predict` returns, as programs written for the cloud use it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import hub as hubs
from tests.clients import environment
from tests.clients.control_plane import ControlPlane
from tests.parity.zoo.generation import gpt2

HERE = Path(__file__).parent
SENTIMENT = "distilbert-base-uncased-finetuned-sst-2-english"
SQUAD = "distilbert-base-uncased-distilled-squad"
GENERATOR = "openai-community/gpt2"
QUESTION = {
    "question": "What is used for inference?",
    "context": "My Name is Philipp and I live in Nuremberg. This model is used with sagemaker for inference.",
}

pytestmark = pytest.mark.skipif(
    environment.existing() is None, reason="no SageMaker SDK: python -m tests.clients.environment installs it"
)


@pytest.fixture(scope="module")
def sentiment(built: Callable[..., Path]) -> Path:
    return built("distilbert", num_labels=2)


@pytest.fixture(scope="module")
def squad(built: Callable[..., Path]) -> Path:
    return built("distilbert", head="AutoModelForQuestionAnswering", positions=384)


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gpt2(tmp_path_factory.mktemp("generator"))


@pytest.fixture(scope="module")
def plane(
    sentiment: Path, squad: Path, generator: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    root = tmp_path_factory.mktemp("sagemaker")
    repositories = {
        SENTIMENT: hubs.Repository({"main": ("a" * 40, sentiment)}),
        SQUAD: hubs.Repository({"main": ("b" * 40, squad)}),
        GENERATOR: hubs.Repository({"main": ("c" * 40, generator)}),
    }
    with hubs.serve(repositories) as hub:
        env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(root / "hub"), "TRITON_HF_CACHE": str(root / "cache")}
        with ControlPlane(root, env).running() as plane:
            yield plane


@pytest.fixture
def example(plane: ControlPlane, tmp_path: Path) -> Callable[..., Any]:
    """Run an example in the SDK's environment; what it printed last, as JSON."""

    def run(name: str, *arguments: Any) -> Any:
        words = [str(word) if isinstance(word, str | Path) else json.dumps(word) for word in arguments]
        ended = subprocess.run(
            [str(environment.existing()), HERE / "examples" / f"{name}.py", *words],
            # A home of its own: nobody's configuration of AWS or of the SDK.
            env={**plane.client_env, "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        logs = [container.text[-2000:] for container in plane.containers[-1:]]
        assert ended.returncode == 0, "\n".join((ended.stdout[-1000:], ended.stderr[-4000:], *logs))
        return json.loads(ended.stdout.splitlines()[-1])

    return run


def pack(archive: Path, *folders: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        for folder in folders:
            for path in sorted(folder.iterdir()):
                tar.add(path, path.name)
    return archive


def pipeline(task: str, folder: Path) -> Any:
    from transformers import pipeline

    return pipeline(task, str(folder), device="cpu")


def close(found: Any, expected: Any) -> None:
    """The same labels and texts, and scores within 1e-4."""
    assert {k: v for k, v in found.items() if k != "score"} == {k: v for k, v in expected.items() if k != "score"}
    assert found["score"] == pytest.approx(expected["score"], abs=1e-4)


def test_text_classification(example: Callable[..., Any], sentiment: Path) -> None:
    texts = ["the quick fox never answers", "a good winter"]
    one, several = example("hub_model", SENTIMENT, "text-classification", {"inputs": texts[0]}, {"inputs": texts})
    expected = pipeline("text-classification", sentiment)(texts)
    for found, reference in zip([*one, *several], [expected[0], *expected], strict=True):
        close(found, reference)


def test_question_answering(example: Callable[..., Any], squad: Path) -> None:
    [answer] = example("hub_model", SQUAD, "question-answering", {"inputs": QUESTION})
    close(answer, pipeline("question-answering", squad)(**QUESTION))


def test_a_response_stream(example: Callable[..., Any], generator: Path) -> None:
    asked = {"inputs": "the quick brown", "parameters": {"max_new_tokens": 5, "do_sample": False}}
    lines = example("stream", GENERATOR, {**asked, "stream": True})
    events = [json.loads(line.removeprefix("data:")) for line in lines]
    [expected] = pipeline("text-generation", generator)(asked["inputs"], **asked["parameters"])
    assert asked["inputs"] + "".join(event["token"]["text"] for event in events) == expected["generated_text"]


@pytest.mark.parametrize("settings", [{}, {"assemble_with": "Line", "accept": "application/json"}], ids=str)
def test_batch_transform(
    example: Callable[..., Any], plane: ControlPlane, sentiment: Path, tmp_path: Path, settings: dict[str, str]
) -> None:
    texts = ["tea", "the quick fox never answers", "a good winter"]
    file = tmp_path / "input.jsonl"
    file.write_text("".join(json.dumps({"inputs": text}) + "\n" for text in texts))
    written = example("batch_transform", SENTIMENT, "text-classification", file, settings)["input.jsonl.out"]
    lines = written.splitlines() if settings else written.replace("][", "]\n[").splitlines()
    for line, expected in zip(lines, pipeline("text-classification", sentiment)(texts), strict=True):
        close(json.loads(line)[0], expected)
    assert plane.jobs[-1] == {"SAGEMAKER_BATCH": "true", "SAGEMAKER_BATCH_STRATEGY": "SINGLE_RECORD"}


def test_a_script_in_the_archive(example: Callable[..., Any], built: Callable[..., Path], tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = built("bert", head=False)
    code = shutil.copytree(HERE.parent / "user_code" / "mean_pooling" / "code", tmp_path / "source" / "code")
    texts = ["the quick fox never answers", "tea"]
    archive = pack(tmp_path / "model.tar.gz", folder, code.parent)
    [answer] = example("archive", archive, {"inputs": texts})
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    for text, found in zip(texts, answer["vectors"], strict=True):
        with torch.no_grad():
            mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(0)
        assert np.allclose(found, torch.nn.functional.normalize(mean, dim=0).numpy(), atol=1e-5)


def test_a_script_that_the_sdk_packs(example: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.json").write_text('{"tea": 3, "rain": -1}')
    archive = pack(tmp_path / "model.tar.gz", tmp_path / "model")
    answers = example("entry_point", archive, HERE / "code" / "entry_point", "tea and rain", "none")
    assert answers == [[["tea", "3"], ["and", "0"], ["rain", "-1"]], [["none", "0"]]]
