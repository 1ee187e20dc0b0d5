"""sentence-embedding, as `sentence_transformers.SentenceTransformer.encode` answers: one vector a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from huggingface_backend.errors import EntryError, InvalidInput, describe
from huggingface_backend.manifest import Manifest
from huggingface_backend.tasks.base import Call, Task, as_texts, only
from huggingface_backend.tasks.parameters import flag, whole
from huggingface_backend.tokenization import Text, TextTokenizer, TokenizeOptions

if TYPE_CHECKING:
    from huggingface_backend.batches import Batch

NAME = "sentence-embedding"
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Parameters:
    normalize: bool | None
    dimensions: int | None


class SentenceEmbedding(Task):
    """Inputs: a text or a list of texts, cut at `max_seq_length`. Answer: a vector, or a list of vectors.

    `normalize_embeddings` overrides what the model's own modules say. `prompt`, or the model's prompt of the name
    `prompt_name`, is put before each text; `truncate_dim` keeps a vector's first numbers.
    """

    per_token = True

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__(manifest, tokenizer)
        if manifest.pooling is None:
            raise EntryError("the manifest of a sentence-embedding model has no pooling")
        self._pooling = manifest.pooling
        limit = manifest.pooling.max_seq_length or manifest.tokenizer.model_max_length
        self.options = TokenizeOptions(truncate_to=limit)

    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        only(parameters, NAME, "normalize_embeddings", "prompt", "prompt_name", "truncate_dim")
        texts, single = as_texts(inputs, NAME)
        prompt = self._prompt(parameters.get("prompt"), parameters.get("prompt_name"))
        checked = Parameters(
            flag(parameters, "normalize_embeddings", default=None), whole(parameters, "truncate_dim", None, least=1)
        )
        return Call([self.row(text, prompt) for text in texts], self.options, single, checked)

    def reduce(self, outputs: Sequence[NDArray[Any]], batch: Batch) -> Sequence[NDArray[Any]]:
        return list(pool(outputs[0], batch.attention_mask, self._pooling.modes))

    def answer(self, call: Call, rows: Sequence[NDArray[Any]]) -> object:
        if not rows:
            return []
        parameters: Parameters = call.parameters
        vectors = np.stack(rows) if len(rows) > 1 else rows[0][None]
        if parameters.normalize or (parameters.normalize is None and self._pooling.normalize):
            vectors = normalized(vectors)
        if parameters.dimensions is not None:
            vectors = vectors[:, : parameters.dimensions]
            vectors = normalized(vectors) if parameters.normalize else vectors
        return vectors[0] if call.single else vectors

    def row(self, text: str, prompt: str | None = None) -> Text:
        """What is tokenised for a text; the model's own prompt is before it where none is given."""
        text = (self._pooling.prompt if prompt is None else prompt) + text
        return Text(text.lower() if self._pooling.lower_case else text)

    def _prompt(self, prompt: object, name: object) -> str | None:
        if prompt is not None and not isinstance(prompt, str):
            raise InvalidInput(f"prompt must be a text, not {describe(prompt)}")
        if prompt is not None or name is None:
            return prompt
        if name not in self._pooling.prompts:
            known = ", ".join(map(repr, self._pooling.prompts)) or "none"
            raise InvalidInput(f"prompt_name must be one of the model's prompts ({known}), not {name!r}")
        return self._pooling.prompts[str(name)]


def normalized(vectors: NDArray[Any]) -> NDArray[Any]:
    """(rows, hidden) of length 1, but for zeros."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12))


def pool(states: NDArray[Any], attention_mask: NDArray[Any], modes: Sequence[str]) -> NDArray[Any]:
    """(rows, tokens, hidden) to (rows, hidden × modes) over the tokens the mask shows, padded on the right."""
    mask = attention_mask.astype(states.dtype)[:, :, None]
    return np.concatenate([_MODES[mode](states, mask) for mode in modes], axis=1)


def _mean(states: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
    # Sums without a masked copy of the states, and not as a product of matrices: OpenBLAS takes threads for those of
    # long texts, which go on spinning when they are done, a third of a core at 64 clients.
    sums = np.einsum("rt,rth->rh", mask[:, :, 0], states)
    return np.asarray(sums / np.maximum(mask.sum(axis=1), _TINY))


def _mean_sqrt_len(states: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
    length = np.maximum(mask.sum(axis=1), _TINY)
    return np.asarray(_mean(states, mask) * np.sqrt(length))


def _weighted_mean(states: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
    weights = np.arange(1, states.shape[1] + 1, dtype=states.dtype)[None, :, None]
    return _mean(states, mask * weights)


def _last_token(states: NDArray[Any], mask: NDArray[Any]) -> NDArray[Any]:
    last = np.maximum(mask[:, :, 0].sum(axis=1).astype(np.int64) - 1, 0)
    return np.asarray(states[np.arange(len(states)), last])


_MODES: dict[str, Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]] = {
    "cls": lambda states, _mask: states[:, 0],
    "max": lambda states, mask: np.where(mask > 0, states, -np.inf).max(axis=1),
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt_len,
    "weightedmean": _weighted_mean,
    "lasttoken": _last_token,
}
POOLING_MODES = tuple(_MODES)
