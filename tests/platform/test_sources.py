"""Where a container's model comes from, and what it is for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import hub
from tests.platform.conftest import Run
from tests.platform.simulator import invoke
from tests.serving import run_cli

TOKEN = "hf_leaves"


@pytest.fixture(scope="module")
def repository(obedient: Callable[..., Path]) -> Iterator[hub.Hub]:
    """A private Hub model with code, whose branches are told apart by a word."""
    revisions = {"main": ("a" * 40, obedient(word="main")), "v2": ("b" * 40, obedient(word="v2"))}
    with hub.serve({"seven/wizards": hub.Repository(revisions, token=TOKEN)}) as served:
        yield served


def hub_environment(repository: hub.Hub, **others: str) -> dict[str, str]:
    return {"HF_ENDPOINT": repository.url, "HF_MODEL_ID": "seven/wizards", "HF_TRUST_REMOTE_CODE": "true", **others}


@pytest.mark.clause("env.HF_MODEL_ID")
@pytest.mark.parametrize(
    ("token", "revision"),
    [
        pytest.param("HF_TOKEN", "", marks=pytest.mark.clause("env.HF_TOKEN")),
        pytest.param(
            "HF_API_TOKEN", "HF_MODEL_REVISION", marks=pytest.mark.clause("env.HF_MODEL_REVISION", "env.HF_API_TOKEN")
        ),
        pytest.param(
            "HUGGING_FACE_HUB_TOKEN",
            "HF_REVISION",
            marks=pytest.mark.clause("env.HF_REVISION", "env.HUGGING_FACE_HUB_TOKEN"),
        ),
        pytest.param("HF_HUB_TOKEN", "", marks=pytest.mark.clause("env.HF_HUB_TOKEN")),
    ],
)
def test_a_private_hub_model(run: Run, ml: Callable[..., Path], repository: hub.Hub, token: str, revision: str) -> None:
    named = {revision: "v2"} if revision else {}
    container = run(ml(), hub_environment(repository, **{token: TOKEN}, **named)).wait()
    assert invoke(container, {}).json()["word"] == ("v2" if revision else "main")
    container.terminate()


@pytest.mark.clause("env.HF_TRUST_REMOTE_CODE")
def test_hub_code_needs_trust(run: Run, ml: Callable[..., Path], repository: hub.Hub) -> None:
    """With trust it runs, as in the test above. This model has nothing else to serve."""
    container = run(ml(), hub_environment(repository, HF_TOKEN=TOKEN, HF_TRUST_REMOTE_CODE="False"))
    assert container.process.wait(30) == 1
    assert "ready on" not in container.text


@pytest.mark.clause("env.HF_TOKEN")
def test_without_a_token_there_is_no_model(run: Run, ml: Callable[..., Path], repository: hub.Hub) -> None:
    """The control of the tests of tokens."""
    container = run(ml(), hub_environment(repository, HF_TOKEN="hf_other"))
    assert container.process.wait(30) == 1
    assert "Traceback" not in container.text


@pytest.mark.clause("env.HF_TASK", "env.no-HF_TASK")
def test_the_task(
    run: Run, ml: Callable[..., Path], built: Callable[..., Path], convert: Callable[..., Any], cache: Path
) -> None:
    folder = built("bert", num_labels=3)
    answers = {}
    for task in ("text-classification", "feature-extraction"):
        asked = None if task == "text-classification" else task
        assert convert(folder, task=asked).manifest.task == task
        env = {"TRITON_HF_CACHE": str(cache), **({"HF_TASK": asked} if asked else {})}
        container = run(ml(folder), env).wait()
        answers[task] = invoke(container, {"inputs": "tea"}).json()
        container.terminate()
    assert set(answers["text-classification"][0]) == {"label", "score"}
    [tokens] = answers["feature-extraction"]
    assert len(tokens) >= 3 and len(tokens[0]) == 32


@pytest.mark.clause("env.no-HF_TASK-diffusers")
def test_the_task_of_a_diffusion_pipeline(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.36.0"}'
    )
    told = json.loads(run_cli("check", "--json", str(tmp_path)).stdout)
    assert told["task"] == "text-to-image"
