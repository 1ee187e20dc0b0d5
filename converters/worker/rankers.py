"""What sentence-transformers makes of a folder as a CrossEncoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from converters.tasks import read_json
from converters.worker.protocol import NotFastError
from huggingface_backend.manifest import Ranking, TokenizerFacts
from huggingface_backend.tasks.text_ranking import ACTIVATIONS

_TRANSFORMER = "sentence_bert_config.json"
_CHANGES = ("do_lower_case", "processing_kwargs", "processor_kwargs", "tokenizer_args")
_MODEL = "config_sentence_transformers.json"


def read_ranking(
    folder: Path, config: Mapping[str, Any], labels: int, tokenizer: TokenizerFacts, trust_remote_code: bool
) -> Ranking:
    """How a folder's model scores pairs.

    `config` is config.json as transformers understands it. ConversionError where it does not rank, NotFastError where
    only sentence-transformers itself can.
    """
    if labels != 1:
        raise ConversionError(f"text-ranking needs a model of one label, this one has {labels}; wrong --task?")
    saved: dict[str, Any] = {}
    transformer: dict[str, Any] = {}
    if (folder / "modules.json").is_file():
        # Only then does sentence-transformers look at these.
        _only_a_transformer(folder)
        saved = read_json(folder / _MODEL) if (folder / _MODEL).is_file() else {}
        transformer = read_json(folder / _TRANSFORMER) if (folder / _TRANSFORMER).is_file() else {}
    changes = sorted(key for key in _CHANGES if transformer.get(key))
    if changes:
        raise NotFastError(f"{_TRANSFORMER} has {', '.join(changes)}")
    name = saved.get("activation_fn") or _of_config(config)
    return Ranking(
        _activation(name, trust_remote_code), _longest(config, transformer, tokenizer), prompt=_default_prompt(saved)
    )


def _only_a_transformer(folder: Path) -> None:
    try:
        modules = json.loads((folder / "modules.json").read_text("utf-8"))
        kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
        paths = [module["path"] for module in modules if module["path"]]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConversionError(f"{folder / 'modules.json'} cannot be read: {error}") from error
    if kinds != ["Transformer"] or paths:
        raise NotFastError(f"modules.json lists {', '.join(kinds)}; the fast path knows a Transformer alone")


def _of_config(config: Mapping[str, Any]) -> str | None:
    named = config.get("sentence_transformers")
    if isinstance(named, dict) and "activation_fn" in named:
        return named["activation_fn"] and str(named["activation_fn"])
    legacy = config.get("sbert_ce_default_activation_function")
    return legacy and str(legacy)


def _activation(name: str | None, trust_remote_code: bool) -> str:
    """The key of ACTIVATIONS for a dotted path; one outside torch is only taken from who is trusted."""
    if name is None or not (name.startswith("torch.") or trust_remote_code):
        return "sigmoid"
    key = name.rpartition(".")[2].lower()
    if not name.startswith("torch.") or key not in ACTIVATIONS:
        raise NotFastError(f"the activation {name} is none of {', '.join(ACTIVATIONS)}")
    return key


def _longest(config: Mapping[str, Any], transformer: Mapping[str, Any], tokenizer: TokenizerFacts) -> int | None:
    asked = transformer.get("max_seq_length")
    if asked:
        return int(asked)
    positions = config.get("max_position_embeddings")
    limits = [tokenizer.model_max_length, positions if isinstance(positions, int) and positions > 0 else None]
    return min((limit for limit in limits if limit is not None), default=None)


def _default_prompt(saved: Mapping[str, Any]) -> str:
    name = saved.get("default_prompt_name")
    return str((saved.get("prompts") or {}).get(name) or "") if name else ""
