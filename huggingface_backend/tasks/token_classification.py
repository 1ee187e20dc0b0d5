"""token-classification, as `transformers.TokenClassificationPipeline` answers: a label a token, or entities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from huggingface_backend.errors import InvalidInput, describe
from huggingface_backend.manifest import Manifest
from huggingface_backend.tasks.base import Call, Item, Task, as_texts, only
from huggingface_backend.tasks.entities import Entity, Token, by_word, groups, of_token, without_overlaps
from huggingface_backend.tasks.parameters import flag, whole
from huggingface_backend.tasks.scores import softmax
from huggingface_backend.tasks.windows import Encoder
from huggingface_backend.tokenization import Text, TextTokenizer, TokenizeOptions

if TYPE_CHECKING:
    from huggingface_backend.batches import Batch

NAME = "token-classification"
STRATEGIES = ("none", "simple", "first", "average", "max")
OF_WORDS = frozenset({"first", "average", "max"})
"""Strategies that label words first."""


@dataclass(frozen=True, slots=True)
class Sentence:
    text: str
    windows: int = 1
    """Rows it became."""
    words: tuple[int, ...] = ()
    """Where its words start, if they came one by one: offsets of tokens then count within their word."""


@dataclass(frozen=True, slots=True)
class Parameters:
    strategy: str
    ignored: frozenset[str]
    sentences: list[Sentence]


class TokenClassification(Task):
    """Inputs: a text or a list of texts; a list of words or of such lists with `is_split_into_words`.

    A text that is too long is cut where the tokenizer's limit is; with `stride` it is answered whole.
    """

    per_token = True
    offsets = True
    encodes = True

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__(manifest, tokenizer)
        self._backend: Any = self.tokenizer.backend
        self._encoder = Encoder(self._backend, manifest.tokenizer)
        # The pipeline knows a tokenizer that marks the pieces of words by this prefix.
        self._marks_subwords = bool(getattr(self._backend.model, "continuing_subword_prefix", None))
        self._options = TokenizeOptions.from_parameters({"truncation": True}, manifest.tokenizer)

    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        names = ("aggregation_strategy", "ignore_labels", "stride", "is_split_into_words", "delimiter")
        only(parameters, NAME, *names, "grouped_entities", "ignore_subwords")
        strategy = _strategy(parameters)
        stride = self._stride(parameters, strategy)
        if flag(parameters, "is_split_into_words", default=False):
            texts: Sequence[Any]
            texts, single = _split_texts(inputs), False
            sentences = [_joined(words, parameters.get("delimiter")) for words in texts]
            windows = self._windows(texts, stride, words=True)
        else:
            texts, single = as_texts(inputs, NAME)
            sentences = [Sentence(text) for text in texts]
            windows = [] if stride is None else self._windows(texts, stride, words=False)
        if not texts:
            raise InvalidInput(f"{NAME} takes at least one text")
        items: Sequence[Item] = [Text(sentence.text) for sentence in sentences]
        if windows:
            sentences = [Sentence(s.text, len(w), s.words) for s, w in zip(sentences, windows, strict=True)]
            items = [window for group in windows for window in group]
        checked = Parameters(strategy or "none", _ignored(parameters), sentences)
        return Call(items, self._options, single, checked)

    def reduce(self, outputs: Sequence[NDArray[Any]], batch: Batch) -> Sequence[tuple[NDArray[Any], Encoding]]:
        rows = zip(outputs[0], batch.lengths, batch.encodings, strict=True)
        return [(logits[:length], encoding) for logits, length, encoding in rows]

    def answer(self, call: Call, rows: Sequence[tuple[NDArray[Any], Encoding]]) -> object:
        parameters: Parameters = call.parameters
        answers: list[object] = []
        start = 0
        for sentence in parameters.sentences:
            answers.append(self._answer(sentence, rows[start : start + sentence.windows], parameters))
            start += sentence.windows
        return answers[0] if call.single else answers

    def _answer(
        self, sentence: Sentence, rows: Sequence[tuple[NDArray[Any], Encoding]], parameters: Parameters
    ) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        for logits, encoding in rows:
            tokens = list(self._tokens(sentence, logits, encoding))
            if parameters.strategy in OF_WORDS:
                entities = [self._word(group, parameters.strategy) for group in by_word(tokens)]
            else:
                entities = [self._entity(token.scores, [token]) for token in tokens]
            if parameters.strategy == "none":
                answers += [of_token(entity) for entity in entities if entity.label not in parameters.ignored]
            else:
                found = [self._of_group(group) for group in groups(entities)]
                answers += [group for group in found if group["entity_group"] not in parameters.ignored]
        return without_overlaps(answers) if len(rows) > 1 else answers

    def _tokens(self, sentence: Sentence, logits: NDArray[Any], encoding: Encoding) -> Iterable[Token]:
        scores = softmax(logits)
        unknown, text = self.manifest.tokenizer.unk_token_id, sentence.text
        ids, offsets, word_ids = encoding.ids, encoding.offsets, encoding.word_ids
        for index, special in enumerate(encoding.special_tokens_mask):
            if special:
                continue
            start, end = offsets[index]
            number = word_ids[index]
            if sentence.words and number is not None:
                start, end = start + sentence.words[number], end + sentence.words[number]
            word = self._backend.id_to_token(ids[index])
            if ids[index] == unknown:
                word, subword = text[start:end], False
            elif self._marks_subwords:
                subword = len(word) != end - start
            else:
                subword = start > 0 and " " not in text[start - 1 : start + 1]
            yield Token(index, word, scores[index], start, end, subword)

    def _word(self, tokens: Sequence[Token], strategy: str) -> Entity:
        """One label for the tokens of a word."""
        if strategy == "average":
            scores = np.stack([token.scores for token in tokens]).mean(axis=0)
        elif strategy == "max":
            scores = max(tokens, key=lambda token: float(token.scores.max())).scores
        else:
            scores = tokens[0].scores
        return self._entity(scores, tokens, self._string([token.word for token in tokens]))

    def _entity(self, scores: NDArray[Any], tokens: Sequence[Token], word: str | None = None) -> Entity:
        best, first = int(scores.argmax()), tokens[0]
        word = first.word if word is None else word
        return Entity(self.manifest.labels[best], scores[best], word, first.start, tokens[-1].end, first.index)

    def _of_group(self, entities: Sequence[Entity]) -> dict[str, Any]:
        return {
            "entity_group": entities[0].label.split("-", 1)[-1],
            "score": float(np.mean([entity.score for entity in entities])),
            "word": self._string([entity.word for entity in entities]),
            "start": entities[0].start,
            "end": entities[-1].end,
        }

    def _string(self, tokens: list[str]) -> str:
        decoder = self._backend.decoder
        return str(decoder.decode(tokens)) if decoder is not None else " ".join(tokens)

    def _windows(self, texts: Sequence[Any], stride: int | None, *, words: bool) -> list[list[Encoding]]:
        limit = self.manifest.tokenizer.model_max_length
        if limit is None:
            return [[encoding] for encoding in self._encoder.encode(texts, words=words)]
        groups = self._encoder.windows(texts, limit, stride, words=words)
        if self.manifest.tokenizer.padding_side == "left":
            # The pipeline pads windows to the longest; in front, that moves positions.
            for group in groups:
                self._encoder.pad(group, max(map(len, group)))
        return groups

    def _stride(self, parameters: Mapping[str, Any], strategy: str | None) -> int | None:
        stride = whole(parameters, "stride", None, least=0)
        limit = self.manifest.tokenizer.model_max_length
        if stride is None:
            return None
        if strategy == "none":
            raise InvalidInput(f"stride needs an aggregation_strategy, one of {', '.join(STRATEGIES[1:])}")
        if limit is not None and stride >= (most := limit - self._encoder.special_tokens(pair=False)):
            raise InvalidInput(f"stride must be less than {most}, the tokens of a window, not {stride}")
        return stride


def _strategy(parameters: Mapping[str, Any]) -> str | None:
    """The strategy that was asked for, by its name or in one of the older ways."""
    grouped = flag(parameters, "grouped_entities", default=None)
    whole_words = flag(parameters, "ignore_subwords", default=None)
    if grouped is not None or whole_words is not None:
        return ("first" if whole_words else "simple") if grouped else "none"
    strategy = parameters.get("aggregation_strategy")
    if strategy is None:
        return None
    if not isinstance(strategy, str) or strategy.lower() not in STRATEGIES:
        raise InvalidInput(f"aggregation_strategy must be one of {', '.join(STRATEGIES)}, not {strategy!r}")
    return strategy.lower()


def _ignored(parameters: Mapping[str, Any]) -> frozenset[str]:
    labels = parameters.get("ignore_labels")
    if labels is None:
        return frozenset({"O"})
    if not isinstance(labels, list | tuple) or not all(isinstance(label, str) for label in labels):
        raise InvalidInput(f"ignore_labels must be a list of labels, not {describe(labels)}")
    return frozenset(labels)


def _split_texts(inputs: object) -> list[list[str]]:
    """Lists of words; a single one is answered as a list of one, too."""
    if not isinstance(inputs, list | tuple):
        raise InvalidInput(f"{NAME} with is_split_into_words takes a list of words, not {describe(inputs)}")
    if not all(isinstance(item, list | tuple) for item in inputs):
        inputs = [inputs]
    for words in inputs:
        for index, word in enumerate(words):
            if not isinstance(word, str):
                raise InvalidInput(f"{NAME} with is_split_into_words takes words, but word {index} is {describe(word)}")
    return [list(words) for words in inputs]


def _joined(words: Sequence[str], delimiter: object) -> Sentence:
    delimiter = " " if delimiter is None else delimiter
    if not isinstance(delimiter, str):
        raise InvalidInput(f"delimiter must be a text, not {describe(delimiter)}")
    ends = accumulate(len(word) + len(delimiter) for word in words)
    return Sentence(delimiter.join(words), words=(0, *ends))
