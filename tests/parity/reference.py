"""What transformers, sentence-transformers or diffusers answer to a case, in this process, as JSON would hold it."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_backend import decoder_encoder
from tests.parity.case import Case
from tests.parity.media import replaced

Ask = Callable[[Any, dict[str, Any]], Any]


class Reference:
    """A model as its own library runs it."""

    def __init__(self, task: str, folder: Path) -> None:
        self._task, self._folder = task, folder
        self._ask = _OWN.get(task, _pipeline)(task, folder)

    def answer(self, case: Case, *, wrong: bool = False, bare: bool = False) -> Any:
        """The answer to the case's inputs, or to its wrong ones; `bare` leaves the parameters out."""
        inputs = self._values(case.wrong if wrong else case.inputs)
        parameters = {} if bare else self._values(dict(case.parameters))
        seed = parameters.pop("seed", 0)
        import torch

        torch.manual_seed(seed)
        with warnings.catch_warnings(), suppression_without_torchvision():
            warnings.simplefilter("ignore")
            return json.loads(decoder_encoder.encode(self._ask(inputs, parameters)))

    def _values(self, value: Any) -> Any:
        return replaced(value, lambda medium: medium.value(getattr(self._ask, "rate", 16_000)))


@contextmanager
def suppression_without_torchvision() -> Iterator[None]:
    """Stand in for the one function that mask generation takes from torchvision, for as long as the reference runs.

    torchvision's published wheels want the CUDA build of torch; beside the CPU build they cannot even be imported.
    """
    module = sys.modules.get("transformers.models.sam.image_processing_sam")
    if module is None or hasattr(module, "batched_nms"):
        yield
        return
    module.batched_nms = _suppress  # type: ignore[attr-defined]
    try:
        yield
    finally:
        del module.batched_nms


def _suppress(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """Of boxes of one kind that overlap by more than the threshold only the best; indices by falling score."""
    import torch

    order, kept = scores.argsort(descending=True, stable=True).tolist(), []
    for index in order:
        left_top = torch.maximum(boxes[index, :2], boxes[kept, :2])
        right_bottom = torch.minimum(boxes[index, 2:], boxes[kept, 2:])
        shared = (right_bottom - left_top).clamp(min=0).prod(dim=1)
        areas = (boxes[kept, 2:] - boxes[kept, :2]).prod(dim=1) + (boxes[index, 2:] - boxes[index, :2]).prod()
        if not ((shared / (areas - shared) > iou_threshold) & (idxs[kept] == idxs[index])).any():
            kept.append(index)
    return torch.tensor(kept, dtype=torch.long)


class _Pipeline:
    def __init__(self, task: str, folder: Path) -> None:
        from transformers import pipeline

        self._pipeline = pipeline(task, model=str(folder), device=-1)
        self.rate = getattr(getattr(self._pipeline, "feature_extractor", None), "sampling_rate", 16_000)

    def __call__(self, inputs: Any, parameters: dict[str, Any]) -> Any:
        return self._pipeline(inputs, **parameters)


def _pipeline(task: str, folder: Path) -> Ask:
    return _Pipeline(task, folder)


def _sentence_embedding(_task: str, folder: Path) -> Ask:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return lambda inputs, parameters: model.encode(inputs, **parameters)


def _sentence_similarity(_task: str, folder: Path) -> Ask:
    from sentence_transformers import SentenceTransformer, util

    model = SentenceTransformer(str(folder), device="cpu")

    def ask(inputs: Any, parameters: dict[str, Any]) -> Any:
        source = model.encode([inputs["source_sentence"]], **parameters)
        return util.cos_sim(source, model.encode(inputs["sentences"], **parameters))[0].tolist()

    return ask


def _text_ranking(_task: str, folder: Path) -> Ask:
    """As text-embeddings-inference answers /rerank: best first, a sigmoid over one label unless scores are raw."""
    import torch
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu")

    def ask(inputs: Any, parameters: dict[str, Any]) -> Any:
        parameters = dict(parameters)
        raw, with_text = parameters.pop("raw_scores", False), parameters.pop("return_text", False)
        pairs = [(inputs["query"], text) for text in inputs["texts"]]
        activation = torch.nn.Identity() if raw else torch.nn.Sigmoid()
        scores = model.predict(pairs, activation_fn=activation, **parameters).tolist()
        ranked = sorted(range(len(scores)), key=lambda index: -scores[index])
        return [
            {"index": index, "score": scores[index], **({"text": inputs["texts"][index]} if with_text else {})}
            for index in ranked
        ]

    return ask


def _text_to_image(_task: str, folder: Path) -> Ask:
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)

    def ask(inputs: Any, parameters: dict[str, Any]) -> Any:
        images = pipeline(inputs, **parameters).images
        return images if isinstance(inputs, list) or len(images) > 1 else images[0]

    return ask


_OWN: dict[str, Callable[[str, Path], Ask]] = {
    "sentence-embedding": _sentence_embedding,
    "sentence-similarity": _sentence_similarity,
    "text-ranking": _text_ranking,
    "text-to-image": _text_to_image,
}
