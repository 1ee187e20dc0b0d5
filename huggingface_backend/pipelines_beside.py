"""Tasks that are no pipelines of transformers, as callables that look like one: the torch tier of these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def _sentence_embedding(folder: Path, trust_remote_code: bool) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", trust_remote_code=trust_remote_code).encode


def _sentence_similarity(folder: Path, trust_remote_code: bool) -> Any:
    from sentence_transformers import SentenceTransformer, util

    from huggingface_backend.tasks.base import as_groups
    from huggingface_backend.tasks.sentence_similarity import KEYS, NAME

    model = SentenceTransformer(str(folder), device="cpu", trust_remote_code=trust_remote_code)

    def similarity(inputs: object, **parameters: Any) -> Any:
        asked, single = as_groups(inputs, NAME, *KEYS)
        answers = []
        for source, sentences in asked:
            vectors = model.encode([source, *sentences], **parameters)
            answers.append(util.cos_sim(vectors[:1], vectors[1:])[0].tolist())
        return answers[0] if single else answers

    return similarity


def _text_ranking(folder: Path, trust_remote_code: bool) -> Any:
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity, Sigmoid

    from huggingface_backend.tasks.base import as_groups
    from huggingface_backend.tasks.text_ranking import KEYS, NAME, ranked

    model = CrossEncoder(str(folder), device="cpu", trust_remote_code=trust_remote_code)

    def ranking(inputs: object, *, raw_scores: bool | None = None, return_text: bool = False) -> Any:
        asked, single = as_groups(inputs, NAME, *KEYS)
        activation = None if raw_scores is None else Identity() if raw_scores else Sigmoid()
        answers = []
        for query, texts in asked:
            scores = model.predict([(query, text) for text in texts], activation_fn=activation)
            answers.append(ranked(texts, scores, with_text=return_text))
        return answers[0] if single else answers

    return ranking


def _text_to_image(folder: Path, trust_remote_code: bool) -> Any:
    from huggingface_backend.diffusion import on_torch

    return on_torch(folder, trust_remote_code)


BESIDE: dict[str, Callable[[Path, bool], Any]] = {
    "sentence-embedding": _sentence_embedding,
    "sentence-similarity": _sentence_similarity,
    "text-ranking": _text_ranking,
    "text-to-image": _text_to_image,
}
"""Builders by task, from a folder and whether its own code may run."""
