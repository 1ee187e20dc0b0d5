"""Which rows may share a forward pass: those with equal parameters, whose answers their neighbours do not change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from huggingface_backend.manifest import Batching


class Sharing:
    """What the rows of one pipeline have to be alike in."""

    def __init__(self, pipe: Any, batching: Batching, *, generates: bool, decoder_only: bool) -> None:
        self._pipe, self._batching = pipe, batching
        self._generates, self._decoder_only = generates, decoder_only

    def key(self, inputs: Any, params: Mapping[str, Any], *, alone: bool) -> object:
        """Equal for rows that may share a pass; None for one that must be `alone` or cannot be told."""
        if self._batching == "none" or alone or not hasattr(inputs, "items") or self._loses_sequences(params):
            return None
        padded = self._batching == "padded" and not (self._decoder_only and self._counts_padding(params))
        shapes = [
            (name, _told(value)) if name in _SHARED or type(value) is int else (name, *_shape(value, padded=padded))
            for name, value in sorted(inputs.items())
        ]
        return repr((shapes, sorted((name, _told(value)) for name, value in params.items())))

    def _loses_sequences(self, params: Mapping[str, Any]) -> bool:
        """Whether the pipeline gives several sequences a row without saying which row they are of."""
        if not self._generates or hasattr(self._pipe, "check_inputs") or self._decoder_only:
            return False
        inner = params.get("generate_kwargs")
        chosen = {**params, **inner} if isinstance(inner, dict) else params
        config = chosen.get("generation_config") or self._pipe.generation_config
        return bool(chosen.get("num_return_sequences", getattr(config, "num_return_sequences", 1)) != 1)

    def _counts_padding(self, params: Mapping[str, Any]) -> bool:
        """Whether these parameters count or look at the prompt's tokens, and so at the padding in front of it."""
        config = params.get("generation_config") or self._pipe.generation_config
        chosen = {name: params.get(name, getattr(config, name, None)) for name in (*_NEUTRAL, "max_new_tokens")}
        if chosen["max_new_tokens"] is None:
            return True
        return any(chosen[name] not in (None, neutral) for name, neutral in _NEUTRAL.items())


_NEUTRAL = {
    "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "guidance_scale": 1.0,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "prompt_lookup_num_tokens": None,
    "repetition_penalty": 1.0,
    "sequence_bias": None,
    "bad_words_ids": None,
    "penalty_alpha": None,
    "dola_layers": None,
}
"""Generation parameters that see the prompt's tokens, each with the value that does nothing."""


_SHARED = frozenset({"candidate_labels", "text_inputs"})
"""Inputs of which a pass has one for all rows."""


def shows_padding(postprocess_params: Mapping[str, Any]) -> bool:
    """Whether an answer would hold the padding behind a row that ended before its neighbours."""
    kind = postprocess_params.get("return_type")
    return (
        bool(postprocess_params.get("return_tensors"))
        or getattr(kind, "name", "") == "TENSORS"
        or postprocess_params.get("skip_special_tokens") is False
    )


def _shape(value: Any, *, padded: bool) -> tuple[Any, ...]:
    """What must be equal of an input in one batch: its axes, without those that padding makes equal."""
    shape = getattr(value, "shape", None)
    if shape is None:
        return (type(value).__name__,)
    return (len(shape), *(shape[2:] if padded and len(shape) == 2 else shape))


def _told(value: Any) -> Any:
    """A parameter's value, in words if it is plain, else by its identity."""
    if isinstance(value, Mapping):
        return sorted((str(name), _told(item)) for name, item in value.items())
    if isinstance(value, list | tuple):
        return [_told(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return repr(value) if isinstance(value, str | int | float | bool | type(None)) else id(value)
