"""Weights that make answers differ, and tokenizers of a few words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.models import bpe_tokenizer, wordpiece_tokenizer

__all__ = [
    "SMALL",
    "attend",
    "bpe_tokenizer",
    "grow",
    "labels",
    "save",
    "twist",
    "without_token_types",
    "wordpiece_tokenizer",
]

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def labels(*names: str) -> dict[str, Any]:
    """The labels of a head, for a configuration."""
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def grow(model: Any, *, gain: float = 1.0, embedding: float = 1.0, seed: int = 0) -> Any:
    """Give every matrix the size at which its output is as large as its input; returns the model in eval mode.

    Random weights of the usual size are a tenth of that, and then what a model was asked drowns in what it always says.
    Larger ones would make every rounding error grow from layer to layer.
    """
    import torch
    from torch import nn

    chance = torch.Generator().manual_seed(seed)

    def normal(parameter: Any, spread: float) -> None:
        parameter.copy_(torch.randn(parameter.shape, generator=chance) * spread)

    done = set()
    with torch.no_grad():
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                # A head tied to the embeddings is met again, and weight norm keeps its factors under other names.
                if id(parameter) in done or not parameter.is_floating_point() or name.startswith("original"):
                    continue
                done.add(id(parameter))
                if isinstance(module, nn.Embedding):
                    normal(parameter, embedding)
                elif name == "weight" and parameter.dim() > 1:
                    normal(parameter, gain / parameter[0].numel() ** 0.5)
                elif parameter.dim() > 1:
                    normal(parameter, 0.5)
                elif name == "bias":
                    normal(parameter, 0.1)
        if hasattr(model, "tie_weights"):
            model.tie_weights()
    return model.eval()


def twist(norm: Any, scale: float = 1.0, seed: int = 1) -> None:
    """Turn a decoder's last norm, so that a head tied to the embeddings does not say each token again."""
    import torch

    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(norm.weight.shape, generator=chance) * scale)


def attend(model: Any, name: str) -> None:
    """Let a decoder look at some words of the text more than at others: the mean of all is much the same each time."""
    import torch

    with torch.no_grad():
        for path, module in model.named_modules():
            if path.endswith((f"{name}.q", f"{name}.q_proj", f"{name}.q_attn")):
                module.weight.mul_(4)


def without_token_types(tokenizer: Any) -> Any:
    """For models that are not told which of two texts a token is of; saved with the tokenizer."""
    tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = ["input_ids", "attention_mask"]
    return tokenizer


def save(folder: Path, model: Any, *parts: Any) -> Path:
    """The folder of a model, its tokenizer and its processors."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    for part in parts:
        part.save_pretrained(folder)
    return folder
