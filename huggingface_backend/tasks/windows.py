"""Encoding in `Task.call`, where a request needs another truncation than the engine's or must know its tokens."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from tokenizers import Encoding, Tokenizer

from huggingface_backend.errors import InvalidInput
from huggingface_backend.manifest import TokenizerFacts
from huggingface_backend.tokenization import encoded, pad, sibling


class Encoder:
    """Encodes in any thread, without changing what the engine's thread encodes with.

    A tokenizer holds the truncation of its last call and refuses another while a thread encodes with it. So each
    thread gets its own; they share the vocabulary, and cost next to nothing.
    """

    def __init__(self, backend: Tokenizer, facts: TokenizerFacts) -> None:
        self._backend, self._facts = backend, facts
        self._own = threading.local()

    def encode(self, texts: Sequence[Any], *, special: bool = True, words: bool = False) -> list[Encoding]:
        """Encodings of texts, of pairs of texts, or of lists of `words`, however long."""
        tokenizer = self._tokenizer()
        tokenizer.no_truncation()
        return encoded(tokenizer.encode_batch, texts, add_special_tokens=special, is_pretokenized=words)

    def windows(
        self,
        texts: Sequence[Any],
        length: int,
        stride: int | None = None,
        strategy: str = "longest_first",
        *,
        words: bool = False,
    ) -> list[list[Encoding]]:
        """Each text's windows of at most `length` tokens that overlap by `stride`; only the first where that is None.

        The stride must be below what special tokens, and the text that is not cut, leave of the length.
        """
        tokenizer = self._tokenizer()
        direction = self._facts.truncation_side
        try:
            tokenizer.enable_truncation(length, stride=stride or 0, strategy=strategy, direction=direction)
        except (ValueError, OverflowError) as error:
            raise InvalidInput(str(error)) from error
        encodings = encoded(tokenizer.encode_batch, texts, is_pretokenized=words)
        return [[encoding, *(() if stride is None else encoding.overflowing)] for encoding in encodings]

    def special_tokens(self, *, pair: bool) -> int:
        """How many special tokens a text gets, or a pair."""
        return int(self._backend.num_special_tokens_to_add(is_pair=pair))

    def pad(self, encodings: Sequence[Encoding], length: int) -> None:
        """Pad in place, as a request asked for."""
        if self._facts.pad_token is None:
            raise InvalidInput("this model's tokenizer has no padding token")
        for encoding in encodings:
            pad(encoding, length, self._facts)

    def _tokenizer(self) -> Any:
        tokenizer = getattr(self._own, "tokenizer", None)
        if tokenizer is None:
            tokenizer = self._own.tokenizer = sibling(self._backend)
        return tokenizer
