"""text-ranking: how well texts answer a query, by sentence-transformers' `CrossEncoder`, as TEI's /rerank answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from huggingface_backend.errors import EntryError, InvalidInput
from huggingface_backend.manifest import Manifest
from huggingface_backend.tasks.base import Call, Item, Task, as_groups, only
from huggingface_backend.tasks.parameters import flag
from huggingface_backend.tasks.scores import sigmoid
from huggingface_backend.tasks.windows import Encoder
from huggingface_backend.tokenization import Text, TextTokenizer, TokenizeOptions

if TYPE_CHECKING:
    from huggingface_backend.batches import Batch

NAME = "text-ranking"
KEYS = ("query", "texts")
ACTIVATIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "identity": np.asarray,
    "relu": lambda logits: np.maximum(logits, 0),
    "sigmoid": sigmoid,
    "tanh": np.tanh,
}
_EXAMPLE = {"query": "warm up", "texts": ["warm up"]}


@dataclass(frozen=True, slots=True)
class Parameters:
    lists: Sequence[Sequence[str]]
    """The texts of each query."""
    activation: str
    return_text: bool


class TextRanking(Task):
    """Inputs: `{"query": …, "texts": […]}`, or a list of these. Answer: `{"index": …, "score": …}`, the best first.

    `raw_scores` true asks for logits and false for their sigmoid, whatever the model's own activation is.
    `truncate` false refuses what is too long; by default it is cut, the longer text of a pair first.
    """

    cutting = '{"truncate": true}'

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__(manifest, tokenizer)
        if manifest.ranking is None:
            raise EntryError("the manifest of a text-ranking model does not say how it scores")
        self._ranking = manifest.ranking
        limits = [self._ranking.max_length, manifest.max_tokens]
        self._limit = min((limit for limit in limits if limit is not None), default=None)
        facts = manifest.tokenizer
        self._other_side = "right" if facts.truncation_side == "left" else "left"
        self._encoder = Encoder(self.tokenizer.backend, replace(facts, truncation_side=self._other_side))

    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        only(parameters, NAME, "raw_scores", "return_text", "truncate", "truncation_direction")
        raw = flag(parameters, "raw_scores", None)
        activation = self._ranking.activation if raw is None else "identity" if raw else "sigmoid"
        cut = flag(parameters, "truncate", True)
        side = _side(parameters.get("truncation_direction"), self.manifest.tokenizer.truncation_side)
        asked, single = as_groups(inputs, NAME, *KEYS)
        pairs = [(self._ranking.prompt + query, text) for query, texts in asked for text in texts]
        rows: Sequence[Item] = [Text(query, text) for query, text in pairs]
        if cut and self._limit is not None and side == self._other_side:
            rows = [windows[0] for windows in self._encoder.windows(pairs, self._limit)]
        checked = Parameters([texts for _query, texts in asked], activation, flag(parameters, "return_text", False))
        return Call(rows, TokenizeOptions(self._limit if cut else None), single, checked)

    def reduce(self, outputs: Sequence[NDArray[Any]], batch: Batch) -> Sequence[NDArray[Any]]:  # noqa: ARG002
        return list(outputs[0])

    def answer(self, call: Call, rows: Sequence[NDArray[Any]]) -> object:
        parameters: Parameters = call.parameters
        left = iter(rows)
        answers = [_answer(texts, [next(left) for _ in texts], parameters) for texts in parameters.lists]
        return answers[0] if call.single else answers

    def example(self) -> Call:
        return self.call(_EXAMPLE, {})


def _answer(texts: Sequence[str], rows: Sequence[NDArray[Any]], parameters: Parameters) -> list[dict[str, object]]:
    scores = list(ACTIVATIONS[parameters.activation](np.stack(rows)[:, 0]))
    return ranked(texts, scores, with_text=parameters.return_text)


def ranked(texts: Sequence[str], scores: Sequence[Any], *, with_text: bool) -> list[dict[str, object]]:
    """The answer for one query from the score of each text."""
    answer: list[dict[str, object]] = []
    for index in sorted(range(len(scores)), key=lambda index: -scores[index]):
        text = {"text": texts[index]} if with_text else {}
        answer.append({"index": index, **text, "score": float(scores[index])})
    return answer


def _side(given: object, default: str) -> str:
    if given is None:
        return default
    if isinstance(given, str) and given.lower() in ("left", "right"):
        return given.lower()
    raise InvalidInput(f"truncation_direction must be Left or Right, not {given!r:.200}")
