"""zero-shot-classification, as `transformers.ZeroShotClassificationPipeline` answers.

Each candidate label makes a hypothesis, and each pair of a text and a hypothesis is a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from string import Formatter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from huggingface_backend.errors import InvalidInput, describe
from huggingface_backend.manifest import Manifest
from huggingface_backend.tasks.base import Call, Task, as_texts, only
from huggingface_backend.tasks.scores import softmax
from huggingface_backend.tokenization import Text, TextTokenizer, TokenizeOptions

if TYPE_CHECKING:
    from huggingface_backend.batches import Batch

NAME = "zero-shot-classification"
PARAMETERS = ("candidate_labels", "hypothesis_template", "multi_label", "multi_class")
TEMPLATE = "This example is {}."


@dataclass(frozen=True, slots=True)
class Parameters:
    texts: Sequence[str]
    labels: Sequence[Any]
    independent: bool
    """Each label is true or not by itself; else they share a probability of 1."""


class ZeroShotClassification(Task):
    """Inputs: a text or a list of texts. Answer: the text, the labels and their scores, the best first, for each.

    Parameters of tokenising change nothing, as in the pipeline.
    """

    def __init__(self, manifest: Manifest, tokenizer: TextTokenizer | None = None) -> None:
        super().__init__(manifest, None if tokenizer is None else _FirstCut(tokenizer))
        ids = {label: index for index, label in manifest.labels.items()}
        given = manifest.entailment_id
        self._entailment = entailment(ids) if given is None else given
        self._contradiction = -1 if self._entailment == 0 else 0
        self._options = TokenizeOptions(manifest.tokenizer.model_max_length, "only_first")

    def call(self, inputs: object, parameters: Mapping[str, Any]) -> Call:
        only(parameters, NAME, *PARAMETERS, *TokenizeOptions.PARAMETERS)
        texts, single = as_texts(inputs, NAME)
        if not all(texts):
            raise InvalidInput(f"{NAME} takes texts of at least one character")
        labels = _labels(parameters.get("candidate_labels"))
        hypotheses = _hypotheses(parameters.get("hypothesis_template", TEMPLATE), labels)
        several = parameters.get("multi_class")
        several = parameters.get("multi_label") if several is None else several
        if several is not None and not isinstance(several, bool):
            raise InvalidInput(f"multi_label must be true or false, not {describe(several)}")
        rows = [Text(text, hypothesis) for text in texts for hypothesis in hypotheses]
        return Call(rows, self._options, single, Parameters(texts, labels, bool(several) or len(labels) == 1))

    def reduce(self, outputs: Sequence[NDArray[Any]], batch: Batch) -> Sequence[NDArray[Any]]:  # noqa: ARG002
        return list(outputs[0][:, [self._contradiction, self._entailment]])

    def answer(self, call: Call, rows: Sequence[NDArray[Any]]) -> object:
        parameters: Parameters = call.parameters
        count = len(parameters.labels)
        answers = [
            _answer(text, parameters, np.stack(rows[index * count : (index + 1) * count]))
            for index, text in enumerate(parameters.texts)
        ]
        return answers[0] if call.single else answers

    def example(self) -> Call:
        return self.call("warm up", {"candidate_labels": ["warm"]})


class _FirstCut(TextTokenizer):
    """A tokenizer that cuts neither text where the second one alone is too long, instead of failing."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._inner = tokenizer

    @property
    def backend(self) -> Tokenizer:
        return self._inner.backend

    def encode(self, texts: Sequence[Text], options: TokenizeOptions, *, offsets: bool = False) -> list[Encoding]:
        try:
            return self._inner.encode(texts, options, offsets=offsets)
        except Exception as error:  # tokenizers raises bare Exception
            # Of several texts the engine finds the one that fails.
            if len(texts) > 1 or "too short" not in str(error):
                raise
        return self._inner.encode(texts, replace(options, truncate_to=None), offsets=offsets)


def entailment(ids: Mapping[str, int]) -> int:
    """The logit of the first label that is called entailment in any spelling, of a configuration's `label2id`."""
    return next((index for label, index in ids.items() if label.lower().startswith("entail")), -1)


def _answer(text: str, parameters: Parameters, logits: NDArray[Any]) -> dict[str, object]:
    """From (labels, 2) logits of contradiction and entailment."""
    scores = softmax(logits)[:, 1] if parameters.independent else softmax(logits[:, 1])
    order = np.argsort(scores)[::-1]
    return {
        "sequence": text,
        "labels": [parameters.labels[index] for index in order],
        "scores": [float(score) for score in scores[order]],
    }


def _labels(given: object) -> list[Any]:
    if isinstance(given, str):
        given = [label.strip() for label in given.split(",") if label.strip()]
    if not isinstance(given, list | tuple) or not given:
        raise InvalidInput(
            f'{NAME} takes "parameters": {{"candidate_labels": ["…", "…"]}} or a text with commas between them, '
            f"not {describe(given)}"
        )
    for index, label in enumerate(given):
        if isinstance(label, list | tuple | dict):
            raise InvalidInput(f"candidate_labels[{index}] must be a text, not {describe(label)}")
    return list(given)


def _hypotheses(template: object, labels: Sequence[Any]) -> list[str]:
    """InvalidInput for a template with anything but places for the label: widths could ask for gigabytes."""
    wrong = InvalidInput(f"hypothesis_template must be a text with {{}} where the label goes, not {template!r:.200}")
    if not isinstance(template, str):
        raise wrong
    try:
        fields = [(name, spec) for _text, name, spec, _conversion in Formatter().parse(template) if name is not None]
        hypotheses = [template.format(label) for label in labels] if set(fields) <= {("", ""), ("0", "")} else []
    except (ValueError, LookupError) as error:
        raise wrong from error
    if not hypotheses or hypotheses[0] == template:
        raise wrong
    return hypotheses
