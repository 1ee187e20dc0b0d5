"""feature-extraction, as `transformers.FeatureExtractionPipeline` answers: every token's hidden state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from huggingface_backend.errors import InvalidInput
from huggingface_backend.tasks.base import Call, Task, as_texts, only
from huggingface_backend.tasks.parameters import tokenizing
from huggingface_backend.tokenization import Text, TokenizeOptions

if TYPE_CHECKING:
    from huggingface_backend.batches import Batch

NAME = "feature-extraction"


class FeatureExtraction(Task):
    """Inputs: a text or a list of texts. Answer: `[tokens × hidden]` a text, in one more list each."""

    per_token = True
    cutting = '{"truncation": true}'

    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        # A tensor is the same list in JSON.
        only(parameters, NAME, "tokenize_kwargs", "truncation", "return_tensors")
        texts, single = as_texts(inputs, NAME)
        tokenize = tokenizing(parameters, "tokenize_kwargs")
        if parameters.get("truncation") is not None:
            if "truncation" in tokenize:
                raise InvalidInput("truncation is given both as a parameter and in tokenize_kwargs")
            tokenize = {**tokenize, "truncation": parameters["truncation"]}
        options = TokenizeOptions.from_parameters(tokenize, self.manifest.tokenizer)
        return Call([Text(text) for text in texts], options, single)

    def reduce(self, outputs: Sequence[NDArray[Any]], batch: Batch) -> Sequence[NDArray[Any]]:
        return [row[:length] for row, length in zip(outputs[0], batch.lengths, strict=True)]

    def answer(self, call: Call, rows: Sequence[NDArray[Any]]) -> object:
        return [rows[0]] if call.single else [[row] for row in rows]
