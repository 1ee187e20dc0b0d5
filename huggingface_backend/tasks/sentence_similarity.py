"""sentence-similarity: the cosines of sentences' vectors and one source sentence's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from huggingface_backend.tasks.base import PIPELINE_PARAMETERS, Call, as_groups, only
from huggingface_backend.tasks.sentence_embedding import SentenceEmbedding, normalized

NAME = "sentence-similarity"
KEYS = ("source_sentence", "sentences")


class SentenceSimilarity(SentenceEmbedding):
    """Inputs: `{"source_sentence": …, "sentences": […]}`, or a list of these. Answer: a number a sentence."""

    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        only(parameters, NAME, *PIPELINE_PARAMETERS)
        asked, single = as_groups(inputs, NAME, *KEYS)
        rows = [self.row(text) for source, sentences in asked for text in (source, *sentences)]
        return Call(rows, self.options, single, [1 + len(sentences) for _source, sentences in asked])

    def answer(self, call: Call, rows: Sequence[NDArray[Any]]) -> object:
        answers, start = [], 0
        for count in call.parameters:
            vectors = normalized(np.stack(rows[start : start + count]))
            answers.append((vectors[1:] @ vectors[0]).tolist())
            start += count
        return answers[0] if call.single else answers

    def example(self) -> Call:
        return self.call({"source_sentence": "warm up", "sentences": ["warm up"]}, {})
