"""The tasks that need only numpy, tokenizers and ONNX Runtime, by name."""

from __future__ import annotations

from huggingface_backend.tasks.base import Task
from huggingface_backend.tasks.feature_extraction import FeatureExtraction
from huggingface_backend.tasks.sentence_embedding import SentenceEmbedding
from huggingface_backend.tasks.text_classification import TextClassification

TASKS: dict[str, type[Task]] = {
    "feature-extraction": FeatureExtraction,
    "sentence-embedding": SentenceEmbedding,
    "text-classification": TextClassification,
}
