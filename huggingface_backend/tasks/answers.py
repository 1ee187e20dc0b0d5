"""question-answering's arithmetic: spans of tokens by their scores, and the pieces of text they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from tokenizers import Encoding

from huggingface_backend.tasks.scores import softmax

Array = NDArray[Any]
_IMPOSSIBLE = np.float32(-10000.0)
"""The logit of a token that no answer may have."""
_NO_SCORE = 1000000.0


@dataclass(frozen=True, slots=True)
class Span:
    """A span of tokens, both ends included."""

    first: int
    last: int
    score: float


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a context with its question, as the model saw it."""

    encoding: Encoding
    start: Array
    """Logits, one a token."""
    end: Array
    allowed: Array
    """Which tokens an answer may be made of."""
    padding: int
    """Tokens in front of the text."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How spans become answers."""

    top_k: int = 1
    longest: int = 15
    """Tokens of an answer."""
    impossible: bool = False
    """No answer may be an answer, too."""
    whole_words: bool = True
    sequence: int = 1
    """Which text of the pair is the context."""


def answers(context: str, windows: Sequence[Window], rules: Rules) -> object:
    """One answer, or a list where there are more or none. Equal texts count as one, wherever they stand."""
    found: dict[str, dict[str, Any]] = {}
    nothing = _NO_SCORE
    # Spans that become the same words leave room for others.
    count = rules.top_k * 2 + 10 if rules.whole_words else rules.top_k
    for window in windows:
        start, end = (_probabilities(logits, window.allowed) for logits in (window.start, window.end))
        nothing = min(nothing, float(start[0] * end[0]))
        start[0] = end[0] = 0.0
        for span in best_spans(start, end, window.allowed, count, rules.longest):
            first, last = _characters(window, span, rules)
            text = context[first:last]
            known = found.get(text.lower())
            if known:
                known["score"] += span.score
            else:
                found[text.lower()] = {"score": span.score, "start": first, "end": last, "answer": text}
    candidates = list(found.values())
    if rules.impossible:
        candidates.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
    best = sorted(candidates, key=lambda answer: float(answer["score"]), reverse=True)[: rules.top_k]
    return best[0] if len(best) == 1 else best


def best_spans(start: Array, end: Array, allowed: Array, count: int, longest: int) -> list[Span]:
    """Up to `count` spans of allowed tokens by the product of both ends' probabilities, best first.

    Fewer where others are better, but not allowed, or of no probability at all.
    """
    width = min(longest, len(end))
    # scores[s, d] of the span from s to s + d, which is all that can be an answer.
    scores = start[:, None] * sliding_window_view(np.concatenate([end, np.zeros(width - 1, end.dtype)]), width)
    flat = scores.ravel()
    if np.count_nonzero(flat) > count:
        firsts, lengths = np.unravel_index(_largest(flat, count), scores.shape)
        lasts = firsts + lengths
    else:
        # Too few: the pipeline fills up with spans of probability 0, whatever the sort leaves in front.
        scores = np.tril(np.triu(start[:, None] * end[None]), longest - 1)
        flat = scores.ravel()
        firsts, lasts = np.unravel_index(_largest(flat, count), scores.shape)
    possible = allowed[firsts] & allowed[lasts]
    firsts, lasts = firsts[possible], lasts[possible]
    products = start[firsts] * end[lasts] * ((firsts <= lasts) & (lasts - firsts < longest))
    return [Span(*span) for span in zip(firsts.tolist(), lasts.tolist(), products.tolist(), strict=True)]


def _largest(scores: Array, count: int) -> Array:
    if count == 1:
        return np.array([scores.argmax()])
    if len(scores) <= count:
        return np.argsort(-scores)
    best = np.argpartition(-scores, count)[:count]
    return np.asarray(best[np.argsort(-scores[best])])


def _probabilities(logits: Array, allowed: Array) -> Array:
    return softmax(np.where(allowed, logits, _IMPOSSIBLE))


def _characters(window: Window, span: Span, rules: Rules) -> tuple[int, int]:
    """Where a span begins and ends in the context."""
    encoding: Any = window.encoding
    first, last = span.first - window.padding, span.last - window.padding
    if rules.whole_words:
        begin = _word(encoding, first, rules.sequence)
        end = _word(encoding, last, rules.sequence)
        if begin and end:
            return begin[0], end[1]
    return encoding.offsets[first][0], encoding.offsets[last][1]


def _word(encoding: Any, token: int, sequence: int) -> tuple[int, int] | None:
    """The word a token belongs to; None where the tokenizer knows no words there."""
    word = encoding.token_to_word(token) if token >= 0 else None
    found: tuple[int, int] | None = None if word is None else encoding.word_to_chars(word, sequence)
    return found
