"""sentence-similarity: the cosines of sentences' vectors and one source sentence's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huggingface_backend.errors import InvalidInput, describe
from huggingface_backend.tasks.base import PIPELINE_PARAMETERS, Call, only
from huggingface_backend.tasks.sentence_embedding import SentenceEmbedding, normalized

NAME = "sentence-similarity"


class SentenceSimilarity(SentenceEmbedding):
    """Inputs: `{"source_sentence": …, "sentences": […]}`, or a list of these. Answer: a number a sentence."""

    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        only(parameters, NAME, *PIPELINE_PARAMETERS)
        asked, single = groups(inputs)
        rows = [self.row(text) for group in asked for text in group]
        return Call(rows, self.options, single, [len(group) for group in asked])

    def answer(self, call: Call, rows: Sequence[NDArray[Any]]) -> object:
        answers, start = [], 0
        for count in call.parameters:
            vectors = normalized(np.stack(rows[start : start + count]))
            answers.append((vectors[1:] @ vectors[0]).tolist())
            start += count
        return answers[0] if call.single else answers

    def example(self) -> Call:
        return self.call({"source_sentence": "warm up", "sentences": ["warm up"]}, {})


def groups(inputs: object) -> tuple[list[list[str]], bool]:
    """`(groups, single)`: the source and its sentences of each of the inputs."""
    if isinstance(inputs, list | tuple):
        return [_sentences(item, f"inputs[{index}]") for index, item in enumerate(inputs)], False
    return [_sentences(inputs, "inputs")], True


def _sentences(item: object, where: str) -> list[str]:
    """The source and what is compared with it."""
    if isinstance(item, dict) and set(item) == {"source_sentence", "sentences"}:
        source, sentences = item["source_sentence"], item["sentences"]
        if isinstance(source, str) and isinstance(sentences, list | tuple):
            for index, sentence in enumerate(sentences):
                if not isinstance(sentence, str):
                    raise InvalidInput(f"{NAME} compares texts, but {where}.sentences[{index}] is {describe(sentence)}")
            if sentences:
                return [source, *sentences]
            raise InvalidInput(f"{NAME} compares with at least one text, but {where}.sentences is empty")
    raise InvalidInput(
        f'{NAME} takes {{"source_sentence": "…", "sentences": ["…", …]}}, but {where} is {describe(item)}'
    )
