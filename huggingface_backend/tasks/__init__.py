"""The tasks that need only numpy, tokenizers and ONNX Runtime, by name."""

from __future__ import annotations

from huggingface_backend.tasks.base import Task
from huggingface_backend.tasks.feature_extraction import FeatureExtraction
from huggingface_backend.tasks.fill_mask import FillMask
from huggingface_backend.tasks.image_classification import ImageClassification
from huggingface_backend.tasks.question_answering import QuestionAnswering
from huggingface_backend.tasks.sentence_embedding import SentenceEmbedding
from huggingface_backend.tasks.sentence_similarity import SentenceSimilarity
from huggingface_backend.tasks.text_classification import TextClassification
from huggingface_backend.tasks.text_ranking import TextRanking
from huggingface_backend.tasks.token_classification import TokenClassification
from huggingface_backend.tasks.zero_shot_classification import ZeroShotClassification

TASKS: dict[str, type[Task]] = {
    "feature-extraction": FeatureExtraction,
    "fill-mask": FillMask,
    "image-classification": ImageClassification,
    "question-answering": QuestionAnswering,
    "sentence-embedding": SentenceEmbedding,
    "sentence-similarity": SentenceSimilarity,
    "text-classification": TextClassification,
    "text-ranking": TextRanking,
    "token-classification": TokenClassification,
    "zero-shot-classification": ZeroShotClassification,
}
