"""Tiny models with random weights, built on the spot, and the texts they are asked about.

Random weights of the usual size make every answer alike, and then any answer passes. The weights here are scaled
until answers to different texts differ by far more than any tolerance.
"""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = (  # noqa: SIM905
    "the quick brown fox jumps over a lazy dog while seven wizards brew strong tea and nobody counts rain "
    "good bad slow fast never always river bridge paper stone answer question city winter light"
).split()


def texts(count: int, *, shortest: int = 1, longest: int = 40, seed: int = 0) -> list[str]:
    """Texts of mixed lengths in words, no two alike."""
    chance = random.Random(seed)
    return [
        " ".join(chance.choice(WORDS) for _ in range(chance.randint(shortest, longest))) + f" {index}"
        for index in range(count)
    ]


def wordpiece_tokenizer(folder: Path, limit: int, *, token_types: bool) -> Any:
    """A BERT tokenizer of our own words, the same in every run. Not every architecture takes token types."""
    from transformers import BertTokenizerFast

    # Not trained: training breaks its ties by chance. Three words are left to be put together of two pieces.
    pieces = ["wi", "##zards", "no", "##body", "se", "##ven"]
    words = [word for word in dict.fromkeys(WORDS) if word not in ("wizards", "nobody", "seven")]
    characters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces += [f"##{character}" for character in characters]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters, *".,!?'", *pieces, *words]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(vocabulary)) + "\n")
    names = ["input_ids", "token_type_ids", "attention_mask"] if token_types else ["input_ids", "attention_mask"]
    return BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), model_max_length=limit, model_input_names=names)


def bpe_tokenizer(limit: int) -> Any:
    """A RoBERTa tokenizer trained on our own words."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        [" ".join(WORDS)] * 3,
        vocab_size=400,
        show_progress=False,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    )
    from tokenizers.processors import RobertaProcessing

    trained._tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer,
        model_max_length=limit,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )


SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}


def build(
    folder: Path, model_type: str, *, head: bool | str = True, positions: int = 64, seed: int = 0, **config: Any
) -> Path:
    """Save a model of a type that transformers knows, with its tokenizer; returns the folder.

    `head` makes it a sequence classifier, or one of the class that it names. `positions` bounds its input. Further
    keywords go to its configuration.
    """
    import torch
    import transformers
    from transformers import AutoConfig

    torch.manual_seed(seed)
    roberta = model_type in ("roberta", "camembert", "xlm-roberta")
    token_types = model_type in ("bert", "electra", "albert", "deberta-v2")
    tokenizer = (
        bpe_tokenizer(positions - 2) if roberta else wordpiece_tokenizer(folder, positions, token_types=token_types)
    )
    shape = DISTIL if model_type == "distilbert" else SHAPE
    settings = AutoConfig.for_model(
        model_type,
        vocab_size=len(tokenizer),
        max_position_embeddings=positions,
        pad_token_id=tokenizer.pad_token_id,
        **shape,
        **config,
    )
    names = {True: "AutoModelForSequenceClassification", False: "AutoModel"}
    model = getattr(transformers, names.get(head, head)).from_config(settings).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(20 if "embeddings" in name else 4)
    if head:
        _spread(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def builder(root: Path) -> Callable[..., Path]:
    """`build` below a folder, once for each set of arguments."""
    known: dict[str, Path] = {}

    def once(model_type: str, **settings: Any) -> Path:
        key = model_type + json.dumps(settings, sort_keys=True)
        if key not in known:
            known[key] = build(root / f"{model_type}-{len(known)}", model_type, **settings)
        return known[key]

    return once


def _spread(model: Any, tokenizer: Any) -> None:
    """Shift and scale the head until each logit has mean 0 and standard deviation 1 over our texts."""
    import torch

    head = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    known = inspect.signature(model.forward).parameters

    def ask(text: str) -> Any:
        output = model(**{k: v for k, v in tokenizer(text, return_tensors="pt").items() if k in known})
        if "start_logits" in output:
            return torch.stack([output.start_logits, output.end_logits], -1).flatten(0, -2)
        return output.logits.flatten(0, -2)

    with torch.no_grad():
        logits = torch.cat([ask(text) for text in texts(24, longest=20)])
        scale = 1 / logits.std(0)
        bias = head.bias if head.bias is not None else torch.zeros(len(head.weight))
        head.weight.mul_(scale[:, None])
        if head.bias is not None:
            # In place: other modules may share it.
            head.bias.copy_((bias - logits.mean(0)) * scale)


def add_sentence_transformers(folder: Path, pooling: dict[str, Any], *, normalize: bool, max_seq_length: int) -> Path:
    """Make a folder what sentence-transformers saves around a transformer."""
    modules = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
    listed = [
        {
            "idx": index,
            "name": str(index),
            "path": "" if name == "Transformer" else f"{index}_{name}",
            "type": f"sentence_transformers.models.{name}",
        }
        for index, name in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **pooling}))
    (folder / "sentence_bert_config.json").write_text(
        json.dumps({"max_seq_length": max_seq_length, "do_lower_case": False})
    )
    return folder


def build_image_classifier(folder: Path, seed: int = 0) -> Path:
    """Save a tiny ViT classifier of three labels with its image processor; returns the folder."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(seed)
    config = ViTConfig(**SHAPE, image_size=32, patch_size=8, num_labels=3)
    model = ViTForImageClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def build_audio_classifier(folder: Path, seed: int = 0) -> Path:
    """Save a tiny wav2vec2 classifier of three labels for 16 kHz audio with its feature extractor."""
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    torch.manual_seed(seed)
    config = Wav2Vec2Config(
        **SHAPE,
        conv_dim=(16, 16, 16),
        conv_stride=(5, 4, 4),
        conv_kernel=(10, 8, 8),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=16,
        num_labels=3,
    )
    model = Wav2Vec2ForSequenceClassification(config).eval()
    with torch.no_grad():
        model.classifier.weight.mul_(40)
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder


def pictures(count: int, seed: int = 0) -> list[Any]:
    """RGB images of mixed sizes, each with waves of its own."""
    import numpy as np
    from PIL import Image

    chance = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        height, width = chance.integers(20, 200, 2)
        rows, columns = np.mgrid[:height, :width] / max(height, width)
        waves = [np.sin(rows * chance.uniform(1, 30)) * np.cos(columns * chance.uniform(1, 30)) for _ in range(3)]
        pixels = chance.uniform(60, 190, 3) + 90 * np.stack(waves, -1)
        found.append(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    return found


def build_vision(folder: Path, model_type: str, processor: Any, seed: int = 0, **config: Any) -> Path:
    """Save a tiny image classifier of a type that transformers knows, with its image processor; returns the folder.

    Each logit has mean 0 and standard deviation 1 over our pictures.
    """
    import torch
    from transformers import AutoConfig, AutoModelForImageClassification

    torch.manual_seed(seed)
    settings = AutoConfig.for_model(model_type, **{"num_labels": 3, **config})
    model = AutoModelForImageClassification.from_config(settings).eval()
    head = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(8 if "embed" in name else 4)
        logits = torch.cat([model(**processor(image, return_tensors="pt")).logits for image in pictures(24)])
        scale = 1 / logits.std(0)
        head.weight.mul_(scale[:, None])
        head.bias = torch.nn.Parameter((head.bias - logits.mean(0)) * scale)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
