"""text-classification, as `transformers.TextClassificationPipeline` answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from huggingface_backend.errors import InvalidInput, describe
from huggingface_backend.manifest import Manifest
from huggingface_backend.tasks.base import Call, Task, only
from huggingface_backend.tasks.scores import FUNCTIONS
from huggingface_backend.tokenization import Text, TextTokenizer, TokenizeOptions

if TYPE_CHECKING:
    from huggingface_backend.batches import Batch

NAME = "text-classification"


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the pipeline's `__call__` takes beyond tokenising."""

    function: str
    top_k: int | None = 1
    legacy: bool = True
    """No usable top_k was given: one dict a text, or every score unsorted for return_all_scores."""
    wrap: bool = True
    """A single text's answer is wrapped in a list unless top_k was named at all."""


class TextClassification(Task):
    """Inputs: a text, `{"text": …, "text_pair": …}`, or a list of either."""

    cutting = '{"truncation": true}'

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__(manifest, tokenizer)
        self._default = default_function(manifest)

    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        only(parameters, NAME, "top_k", "function_to_apply", "return_all_scores", *TokenizeOptions.PARAMETERS)
        items = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        single = not isinstance(inputs, list | tuple)
        texts = [_text(item, "inputs" if single else f"inputs[{i}]") for i, item in enumerate(items)]
        options = TokenizeOptions.from_parameters(parameters, self.manifest.tokenizer)
        checked = self._parameters(parameters, isinstance(inputs, str))
        return Call(texts, options, single, checked)

    def reduce(self, outputs: Sequence[NDArray[Any]], batch: Batch) -> Sequence[NDArray[Any]]:  # noqa: ARG002
        return list(outputs[0])

    def answer(self, call: Call, rows: Sequence[NDArray[Any]]) -> object:
        parameters: Parameters = call.parameters
        answers = [self._answer(logits, parameters) for logits in rows]
        if not call.single:
            return answers
        return [answers[0]] if parameters.wrap else answers[0]

    def _answer(self, logits: NDArray[Any], parameters: Parameters) -> object:
        scores = FUNCTIONS[parameters.function](logits)
        labels = self.manifest.labels
        if parameters.legacy and parameters.top_k == 1:
            best = int(scores.argmax())
            return {"label": labels[best], "score": float(scores[best])}
        order = list(range(len(scores)))
        if not parameters.legacy:
            order.sort(key=lambda index: -scores[index])
            order = order[: parameters.top_k]
        return [{"label": labels[index], "score": float(scores[index])} for index in order]

    def _parameters(self, parameters: Mapping[str, Any], is_text: bool) -> Parameters:
        function = parameters.get("function_to_apply")
        if function is None:
            function = self._default
        elif not isinstance(function, str) or function.lower() not in FUNCTIONS:
            raise InvalidInput(f"function_to_apply must be one of {', '.join(FUNCTIONS)}, not {function!r}")
        all_scores = parameters.get("return_all_scores", self.manifest.return_all_scores)
        wrap = is_text and "top_k" not in parameters
        top_k = parameters.get("top_k", "")
        if top_k is None or isinstance(top_k, int):
            return Parameters(function.lower(), top_k, legacy=False, wrap=wrap)
        # The pipeline's own default, which may be said aloud.
        if top_k != "":
            raise InvalidInput(f"top_k must be a whole number or null, not {describe(top_k)}")
        return Parameters(function.lower(), None if all_scores else 1, wrap=wrap)


def default_function(manifest: Manifest) -> str:
    """The function transformers applies for this configuration when a request names none."""
    count = len(manifest.labels)
    if manifest.problem_type == "regression":
        return "none"
    if manifest.problem_type == "multi_label_classification" or count == 1:
        return "sigmoid"
    if manifest.problem_type == "single_label_classification" or count > 1:
        return "softmax"
    return (manifest.function_to_apply or "none").lower()


def _text(item: object, where: str) -> Text:
    if isinstance(item, str):
        return Text(item)
    if isinstance(item, dict) and "text" in item and set(item) <= {"text", "text_pair"}:
        text, pair = item["text"], item.get("text_pair")
        if isinstance(text, str) and (pair is None or isinstance(pair, str)):
            return Text(text, pair)
    raise InvalidInput(f'{NAME} takes texts or {{"text": …, "text_pair": …}} objects, but {where} is {describe(item)}')
