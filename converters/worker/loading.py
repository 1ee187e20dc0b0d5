"""A source's tokenizer, configuration and weights; transformers and torch only where they are needed."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from converters.tasks import read_json
from converters.worker.protocol import NotFastError
from huggingface_backend.errors import first_line
from huggingface_backend.manifest import TokenizerFacts

_HUGE = 10**9
"""transformers writes 1e30 for a tokenizer without a limit."""

MODEL_CLASSES = {
    "fill-mask": "AutoModelForMaskedLM",
    "image-classification": "AutoModelForImageClassification",
    "question-answering": "AutoModelForQuestionAnswering",
    "text-classification": "AutoModelForSequenceClassification",
    "text-ranking": "AutoModelForSequenceClassification",
    "token-classification": "AutoModelForTokenClassification",
    "zero-shot-classification": "AutoModelForSequenceClassification",
}
"""The class of transformers that has the head a fast task needs; the others need none."""

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def why_no_weights(source: Path) -> str | None:
    """Why PyTorch has nothing to say on this source; None where it can be loaded."""
    if not any(path for pattern in WEIGHTS for path in source.glob(pattern)):
        return "the source has no PyTorch weights to compare with"
    if find_spec("torch") is None or find_spec("transformers") is None:
        return "torch and transformers are not installed here"
    return None


def read_config(source: Path, trust_remote_code: bool) -> dict[str, Any]:
    """config.json with the architecture's defaults filled in where transformers can do that."""
    raw = read_json(source / "config.json")
    if find_spec("transformers") is None:
        return raw
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code)
    except Exception as error:
        kind = raw.get("model_type")
        raise ConversionError(f"unknown architecture {kind!r}: {first_line(error)}") from error
    filled: dict[str, Any] = config.to_dict()
    # What to_dict leaves out because it equals the default is still what transformers works with.
    for name in ("problem_type", "max_position_embeddings", "num_attention_heads", "hidden_size", "id2label"):
        filled[name] = getattr(config, name, filled.get(name))
    return filled


def labels(config: dict[str, Any]) -> dict[int, str]:
    """`id2label`, or LABEL_0, LABEL_1 … as transformers names them."""
    named = config.get("id2label")
    if named:
        return {int(index): str(label) for index, label in named.items()}
    return {index: f"LABEL_{index}" for index in range(int(config.get("num_labels", 2)))}


def save_tokenizer(source: Path, target: Path, trust_remote_code: bool) -> TokenizerFacts:
    """Write the fast tokenizer as transformers would use it; without transformers, the source's own file."""
    ready = source / "tokenizer.json"
    if find_spec("transformers") is None:
        if not ready.is_file():
            raise ConversionError(
                f"missing tokenizer: {source} has no tokenizer.json, and without transformers none can be made"
            )
        shutil.copyfile(ready, target)
        return _facts_from_json(source)
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise ConversionError(f"missing tokenizer: none loads from {source.name}: {first_line(error)}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise NotFastError(
            f"the tokenizer ({type(tokenizer).__name__}) has no fast version that tokenizer.json could hold"
        )
    tokenizer.backend_tokenizer.save(str(target))
    limit = tokenizer.model_max_length
    return TokenizerFacts(
        model_max_length=int(limit) if limit < _HUGE else None,
        pad_token=tokenizer.pad_token,
        pad_token_id=tokenizer.pad_token_id or 0,
        pad_token_type_id=tokenizer.pad_token_type_id,
        token_types="token_type_ids" in tokenizer.model_input_names,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        mask_token=tokenizer.mask_token,
        mask_token_id=tokenizer.mask_token_id,
        unk_token_id=tokenizer.unk_token_id,
        cls_token_id=tokenizer.cls_token_id,
        clean_up_spaces=bool(tokenizer.clean_up_tokenization_spaces),
    )


def load_model(source: Path, task: str, trust_remote_code: bool) -> Any:
    """The PyTorch model in eval mode and fp32; ConversionError names what is broken."""
    import torch
    import transformers
    from safetensors import SafetensorError, safe_open

    for path in sorted(source.glob("*.safetensors")):
        try:
            with safe_open(str(path), framework="np"):
                pass
        except (SafetensorError, OSError) as error:
            raise ConversionError(f"{path.name} is corrupt: {first_line(error)}") from error
    kind = getattr(transformers, MODEL_CLASSES.get(task, "AutoModel"))
    try:
        model, report = kind.from_pretrained(
            source, trust_remote_code=trust_remote_code, dtype=torch.float32, output_loading_info=True
        )
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise ConversionError(f"the weights cannot be loaded: {first_line(error)}") from error
    missing = [name for name in report["missing_keys"] if "pooler" not in name]
    if missing:
        raise ConversionError(
            f"the weights are not for {task}: {len(missing)} are missing, {missing[0]} among them; wrong --task?"
        )
    return model.eval()


def _facts_from_json(source: Path) -> TokenizerFacts:
    path = source / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    pad = config.get("pad_token")
    pad = pad.get("content") if isinstance(pad, dict) else pad
    tokens = json.loads((source / "tokenizer.json").read_text("utf-8")).get("added_tokens", [])
    ids = {token["content"]: token["id"] for token in tokens}
    limit = config.get("model_max_length") or _HUGE
    return TokenizerFacts(
        model_max_length=int(limit) if limit < _HUGE else None,
        pad_token=pad if pad in ids else None,
        pad_token_id=ids.get(pad, 0),
        token_types="token_type_ids" in config.get("model_input_names", ["token_type_ids"]),
        padding_side=config.get("padding_side", "right"),
        truncation_side=config.get("truncation_side", "right"),
    )
