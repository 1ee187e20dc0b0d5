"""What a sentence-transformers folder says of pooling, read and never assumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from converters.tasks import read_json
from huggingface_backend.manifest import Pooling
from huggingface_backend.tasks.sentence_embedding import POOLING_MODES

_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


class UnsupportedModuleError(Exception):
    """The model has a module that only sentence-transformers itself can run."""


def read_pooling(folder: Path) -> Pooling:
    """The pooling of a folder; without modules.json the mean, as sentence-transformers itself does.

    Raises UnsupportedModuleError where numpy alone cannot follow, ConversionError where a file is broken.
    """
    if not (folder / "modules.json").is_file():
        return Pooling()
    modules = _modules(folder)
    kinds = [str(module.get("type", "")).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise UnsupportedModuleError(
            f"modules.json lists {', '.join(kinds)}; the fast path knows Transformer, Pooling, Normalize"
        )
    if modules[0].get("path"):
        raise UnsupportedModuleError(f"modules.json puts the transformer into {modules[0]['path']}/")
    pooling = read_json(folder / str(modules[1]["path"]) / "config.json")
    modes = _modes(pooling)
    unknown = [mode for mode in modes if mode not in POOLING_MODES]
    if unknown:
        raise UnsupportedModuleError(f"pooling mode {', '.join(unknown)}")
    prompts, prompt = _prompts(folder)
    if any(prompts.values()) and pooling.get("include_prompt", True) is False:
        raise UnsupportedModuleError("pooling leaves the prompt's tokens out (include_prompt is false)")
    transformer = _transformer_config(folder)
    return Pooling(
        modes,
        normalize="Normalize" in kinds,
        max_seq_length=transformer.get("max_seq_length"),
        lower_case=bool(transformer.get("do_lower_case", False)),
        prompt=prompt,
        prompts=prompts,
    )


def _modes(config: dict[str, Any]) -> tuple[str, ...]:
    named = config.get("pooling_mode")
    if named:
        return (named,) if isinstance(named, str) else tuple(named)
    return tuple(mode for key, mode in _LEGACY.items() if config.get(key)) or ("mean",)


def _modules(folder: Path) -> list[dict[str, Any]]:
    path = folder / "modules.json"
    try:
        modules = json.loads(path.read_text("utf-8"))
        return [dict(module) for module in sorted(modules, key=lambda module: module["idx"])]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConversionError(f"{path} cannot be read: {error}") from error


def _transformer_config(folder: Path) -> dict[str, Any]:
    for path in sorted(folder.glob("sentence_*_config.json")):
        return read_json(path)
    return {}


def _prompts(folder: Path) -> tuple[dict[str, str], str]:
    """The prompts by name, and the one that is taken where a request names none."""
    path = folder / "config_sentence_transformers.json"
    config = read_json(path) if path.is_file() else {}
    prompts = {str(name): str(text) for name, text in (config.get("prompts") or {}).items()}
    return prompts, prompts.get(str(config.get("default_prompt_name")), "")
