"""fill-mask, as `transformers.FillMaskPipeline` answers: the likeliest tokens at each mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from huggingface_backend.errors import EntryError, InvalidInput, describe
from huggingface_backend.manifest import Manifest
from huggingface_backend.tasks.base import Call, Task, as_texts, only
from huggingface_backend.tasks.parameters import tokenizing, whole
from huggingface_backend.tasks.scores import softmax
from huggingface_backend.tasks.windows import Encoder
from huggingface_backend.tokenization import Text, TextTokenizer, TokenizeOptions

if TYPE_CHECKING:
    from huggingface_backend.batches import Batch

NAME = "fill-mask"
TOP_K = 5
_SPACES = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
"""Where a tokenizer that cleans up drops spaces, one after the other."""

Row = tuple[NDArray[Any], NDArray[np.int64]]
"""Logits at the masks alone, for a vocabulary is large; and the text's token ids."""
_WIDEST = 2**26
"""Logits of one run, a quarter of a gigabyte: a vocabulary of 250,000 makes every token dear."""


@dataclass(frozen=True, slots=True)
class Parameters:
    top_k: int
    targets: NDArray[np.int64] | None


@dataclass(frozen=True, slots=True)
class Kept:
    """A row until its call is answered."""

    ids: NDArray[np.int64]
    masks: list[tuple[NDArray[Any], NDArray[np.int64]]]
    """Scores and tokens, the best first, of each mask."""
    vocabulary: int


class FillMask(Task):
    """Inputs: a text with a mask or several, or a list of such texts; a list of one is answered as its text."""

    per_token = True
    cutting = '{"tokenizer_kwargs": {"truncation": true}}'

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__(manifest, tokenizer)
        self._facts = manifest.tokenizer
        if self._facts.mask_token is None:
            raise EntryError("this model's tokenizer has no mask token, which fill-mask needs")
        self._backend: Any = self.tokenizer.backend
        self._encoder = Encoder(self._backend, self._facts)

    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        only(parameters, NAME, "top_k", "targets", "tokenizer_kwargs")
        texts, single = as_texts(inputs, NAME)
        tokenize = tokenizing(parameters, "tokenizer_kwargs")
        options = TokenizeOptions.from_parameters(tokenize, self._facts)
        checked = Parameters(whole(parameters, "top_k", TOP_K, least=0), self._targets(parameters.get("targets")))
        return Call([Text(text) for text in texts], options, single or len(texts) == 1, checked)

    def reduce(self, outputs: Sequence[NDArray[Any]], batch: Batch) -> Sequence[Row]:
        ids = [np.array(encoding.ids, np.int64) for encoding in batch.encodings]
        rows = zip(outputs[0], ids, strict=True)
        return [(logits[: len(row)][row == self._facts.mask_token_id], row) for logits, row in rows]

    def keep(self, call: Call, result: Row) -> Kept:
        """The best tokens of each mask, in place of the whole vocabulary."""
        logits, ids = result
        parameters: Parameters = call.parameters
        scores = softmax(logits) if len(logits) else logits
        targets = np.arange(logits.shape[1]) if parameters.targets is None else parameters.targets
        count = min(parameters.top_k, len(targets))
        return Kept(ids, [_best(row[targets], targets, count) for row in scores], logits.shape[1])

    def answer(self, call: Call, rows: Sequence[Kept]) -> object:
        for index, row in enumerate(rows):
            if not row.masks:
                where = "the text" if call.single else f"inputs[{index}]"
                raise InvalidInput(f"{NAME} takes texts with {self._facts.mask_token} in them, and {where} has none")
        answers = [self._answer(row, call.parameters) for row in rows]
        return answers[0] if call.single else answers

    def budget(self, tokens: int) -> int:
        return max(1, min(tokens, _WIDEST // int(self._backend.get_vocab_size())))

    def example(self) -> Call:
        return self.call(f"warm up {self._facts.mask_token}", {})

    def _answer(self, row: Kept, parameters: Parameters) -> object:
        if parameters.targets is None and parameters.top_k > row.vocabulary:
            raise InvalidInput(
                f"top_k must be at most {row.vocabulary}, the size of the vocabulary, not {parameters.top_k}"
            )
        masks = np.flatnonzero(row.ids == self._facts.mask_token_id)
        single = len(masks) == 1
        answers = [
            self._fill(row.ids, mask, scores, tokens, skip_special=single)
            for mask, (scores, tokens) in zip(masks, row.masks, strict=True)
        ]
        return answers[0] if single else answers

    def _fill(
        self, ids: NDArray[np.int64], mask: int, scores: NDArray[Any], tokens: NDArray[np.int64], *, skip_special: bool
    ) -> list[dict[str, Any]]:
        filled = np.tile(ids, (len(tokens), 1))
        filled[:, mask] = tokens
        # With several masks special tokens stay, because the masks that are left are special themselves.
        sequences = self._decode([self._without_padding(row) for row in filled], skip_special=skip_special)
        words = self._decode([[token] for token in tokens.tolist()], skip_special=False)
        return [
            {"score": score, "token": token, "token_str": word, "sequence": sequence}
            for score, token, word, sequence in zip(scores.tolist(), tokens.tolist(), words, sequences, strict=True)
        ]

    def _without_padding(self, ids: NDArray[np.int64]) -> list[int]:
        kept: list[int] = (ids if self._facts.pad_token is None else ids[ids != self._facts.pad_token_id]).tolist()
        return kept

    def _decode(self, sequences: list[list[int]], *, skip_special: bool) -> list[str]:
        texts: list[str] = self._backend.decode_batch(sequences, skip_special_tokens=skip_special)
        return [clean_up(text) for text in texts] if self._facts.clean_up_spaces else texts

    def _targets(self, targets: object) -> NDArray[np.int64] | None:
        """Ids of the tokens to choose from; a word that is no token counts as its first."""
        if targets is None:
            return None
        targets = [targets] if isinstance(targets, str) else targets
        if not isinstance(targets, list | tuple) or not all(isinstance(target, str) for target in targets):
            raise InvalidInput(f"targets must be a word or a list of words, not {describe(targets)}")
        ids = [self._target(target) for target in targets]
        known = sorted({found for found in ids if found is not None})
        if not known:
            raise InvalidInput("targets must have a word that the tokenizer knows")
        return np.array(known, np.int64)

    def _target(self, target: str) -> int | None:
        try:
            found: int | None = self._backend.token_to_id(target)
        except (TypeError, UnicodeError) as error:
            raise InvalidInput("a target is not valid Unicode") from error
        if found is not None:
            return found
        ids: list[int] = self._encoder.encode([target], special=False)[0].ids
        if not ids:
            return None
        return ids[-1] if self._facts.truncation_side == "left" else ids[0]


def _best(scores: NDArray[Any], targets: NDArray[np.int64], count: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The best so many targets and their scores."""
    best = np.argpartition(-scores, count - 1)[:count] if count else np.empty(0, np.int64)
    best = best[np.argsort(-scores[best], kind="stable")]
    return scores[best], targets[best]


def clean_up(text: str) -> str:
    """Without the spaces that decoding puts before punctuation and the endings of English contractions."""
    for piece in _SPACES:
        text = text.replace(piece, piece.strip())
    return text
