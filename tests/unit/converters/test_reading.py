"""What a conversion reads off a model's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.digest import Digests
from converters.errors import ConversionError
from converters.sentence_transformers import UnsupportedModuleError, read_pooling
from converters.tasks import ALIASES, CHOICES, PIPELINE_TASKS, canonical, choose_task
from converters.worker.gate import verdict
from converters.worker.texts import TEXTS
from huggingface_backend.manifest import Pooling
from tests.models import add_sentence_transformers


def test_the_tasks_are_those_of_transformers() -> None:
    from transformers.pipelines import SUPPORTED_TASKS, TASK_ALIASES

    assert set(PIPELINE_TASKS) == set(SUPPORTED_TASKS)
    assert TASK_ALIASES == ALIASES
    assert "sentence-embedding" in CHOICES


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("RobertaForQuestionAnswering", "question-answering"),
        ("TapasForQuestionAnswering", "table-question-answering"),
        ("GPT2LMHeadModel", "text-generation"),
        ("LlamaForCausalLM", "text-generation"),
        ("T5ForConditionalGeneration", "text2text-generation"),
        ("MarianMTModel", "text2text-generation"),
    ],
)
def test_the_architecture_tells_the_task(architecture: str, task: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    assert choose_task(tmp_path) == (task, f"{architecture} in config.json")
    assert choose_task(tmp_path, hub_tag="fill-mask") == ("fill-mask", "the Hub's tag")
    assert choose_task(tmp_path, hub_tag="sentence-similarity")[0] == task
    assert choose_task(tmp_path, "ner", "fill-mask") == ("token-classification", "asked for")
    (tmp_path / "modules.json").write_text("[]")
    assert choose_task(tmp_path, hub_tag="fill-mask")[0] == "sentence-embedding"


@pytest.mark.parametrize(
    "config", ["{}", '{"architectures": null}', '{"architectures": []}', '{"architectures": ["BertModel"]}']
)
def test_a_task_that_cannot_be_told_lists_the_choices(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ConversionError, match=r"one of audio-classification, .*text-classification"):
        choose_task(tmp_path)


def test_names_of_tasks() -> None:
    assert canonical("sentiment-analysis") == "text-classification"
    assert canonical("translation_en_to_de") == "translation_en_to_de"
    with pytest.raises(ConversionError, match="unknown task 'translation_en'"):
        canonical("translation_en")


def test_pooling_is_read_and_never_assumed(tmp_path: Path, minilm: Path) -> None:
    assert read_pooling(minilm) == Pooling(("mean",), normalize=True, max_seq_length=256)
    assert read_pooling(tmp_path) == Pooling()
    add_sentence_transformers(tmp_path, {"pooling_mode_cls_token": True}, normalize=False, max_seq_length=99)
    assert read_pooling(tmp_path) == Pooling(("cls",), normalize=False, max_seq_length=99)
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    assert read_pooling(tmp_path).prompt == "query: "


@pytest.mark.parametrize(
    "kinds", [["Transformer", "Pooling", "Dense"], ["Transformer"], ["CLIPModel"], ["Transformer", "CNN", "Pooling"]]
)
def test_modules_the_fast_path_does_not_know(kinds: list[str], tmp_path: Path) -> None:
    modules = [{"idx": i, "path": "", "type": f"sentence_transformers.models.{kind}"} for i, kind in enumerate(kinds)]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UnsupportedModuleError, match=kinds[-1]):
        read_pooling(tmp_path)


def test_digests_follow_the_content(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "sub" / "b").write_text("b")

    def digest() -> str:
        return Digests(tmp_path / "memory.json").of(folder)

    first = digest()
    assert digest() == first
    (folder / "sub" / "b").write_text("c")
    assert digest() != first
    (folder / "sub" / "b").write_text("b")
    assert digest() == first
    (folder / "a").rename(folder / "z")
    assert digest() != first
    (tmp_path / "memory.json").write_text("not json")
    assert digest() != first


def rows(*values: Any) -> list[Any]:
    """Rows of one output each."""
    return [(np.array(value, np.float32),) for value in values]


def test_the_gate_can_fail() -> None:
    reference = rows([1.0, 2.0], [3.0, 1.0])
    assert verdict("text-classification", reference, reference).verdict == "passed"
    assert verdict("text-classification", rows([1.0, 2.01], [3.0, 1.0]), reference).verdict == "failed"
    assert verdict("text-classification", rows([2.0, 1.0], [3.0, 1.0]), reference).label_agreement == 0.5
    assert verdict("feature-extraction", rows([[1.0, 2.0]]), rows([[1.0, 2.0], [3.0, 4.0]])).verdict == "failed"
    turned = verdict("sentence-embedding", rows([1.0, 0.0]), rows([0.0, 1.0]))
    assert (turned.verdict, turned.min_cosine) == ("failed", 0.0)
    assert "failed on 1 examples: max |Δ| 1 (tolerance 0.0001), min cosine 0.000000" in turned.describe()


def test_not_a_number_does_not_pass_the_gate() -> None:
    assert verdict("sentence-embedding", rows([float("nan"), 0.0]), rows([0.0, 1.0])).verdict == "failed"


def test_the_gates_texts_are_of_many_lengths() -> None:
    lengths = sorted(len(text.split()) for text in TEXTS)
    assert lengths[0] == 0
    assert lengths[-1] > 350
    assert len({length // 40 for length in lengths}) > 8
