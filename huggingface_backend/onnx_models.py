"""ONNX graphs as the model inside a transformers pipeline: the accelerated tier.

Where optimum has a class for a task, it is taken: it knows the loop of generation and its cache of keys and values.
The tasks that optimum exports but has no class for need none of that, and one graph stands in for their model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from huggingface_backend.manifest import GRAPH, family
from huggingface_backend.providers import choose, name_of, opened
from huggingface_backend.session import session_options

CLASSES = {
    "audio-classification": "ORTModelForAudioClassification",
    "feature-extraction": "ORTModelForFeatureExtraction",
    "fill-mask": "ORTModelForMaskedLM",
    "image-classification": "ORTModelForImageClassification",
    "image-to-image": "ORTModelForImageToImage",
    "image-to-text": "ORTModelForVision2Seq",
    "question-answering": "ORTModelForQuestionAnswering",
    "summarization": "ORTModelForSeq2SeqLM",
    "text-classification": "ORTModelForSequenceClassification",
    "text-generation": "ORTModelForCausalLM",
    "text2text-generation": "ORTModelForSeq2SeqLM",
    "token-classification": "ORTModelForTokenClassification",
    "translation": "ORTModelForSeq2SeqLM",
    "zero-shot-classification": "ORTModelForSequenceClassification",
    "zero-shot-image-classification": "ORTModelForZeroShotImageClassification",
}
"""Classes of optimum.onnxruntime by task; automatic-speech-recognition has two, `GraphModel` serves the others."""


def beyond_graphs(task: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a call asks for what no exported graph gives: the times of words are read off cross attentions."""
    return task == "automatic-speech-recognition" and parameters.get("return_timestamps") == "word"


def load_model(task: str, folder: Path, threads: int = 0) -> Any:
    """The model of a folder with config.json and ONNX graphs, for a pipeline of a task."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    name = CLASSES.get(family(task))
    if task == "automatic-speech-recognition":
        ctc = any(architecture.endswith("ForCTC") for architecture in config.architectures or ())
        name = "ORTModelForCTC" if ctc else "ORTModelForSpeechSeq2Seq"
    options = session_options(threads)
    if name is None:
        return GraphModel(config, folder / GRAPH, options)
    import optimum.onnxruntime

    model = getattr(optimum.onnxruntime, name).from_pretrained(
        folder, provider=name_of(choose(folder)[0]), session_options=options, local_files_only=True
    )
    if not hasattr(model, "main_input_name"):
        model.main_input_name = next(iter(model.input_names))
    return model


class GraphModel:
    """One graph as a model that is called with tensors and gives a ModelOutput, named as the graph names them."""

    main_input_name = "pixel_values"

    def __init__(self, config: Any, graph: Path, options: onnxruntime.SessionOptions) -> None:
        import torch

        self.config, self.name_or_path = config, str(graph.parent)
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self._session = opened(graph, options, choose(graph))
        self._types = {entry.name: _NUMPY.get(entry.type) for entry in self._session.get_inputs()}
        self._outputs = [entry.name for entry in self._session.get_outputs()]

    def __call__(self, **inputs: Any) -> Any:
        """Tensors in and out, on the CPU; what the graph does not know is left out, as it changes nothing there."""
        import torch
        from transformers.utils import ModelOutput

        feed = {
            name: np.ascontiguousarray(inputs[name].detach().cpu().numpy(), dtype=kind)
            for name, kind in self._types.items()
            if inputs.get(name) is not None
        }
        outputs = self._session.run(self._outputs, feed)
        return ModelOutput(
            {name: torch.from_numpy(output) for name, output in zip(self._outputs, outputs, strict=True)}
        )

    def can_generate(self) -> bool:
        return False

    def to(self, *_arguments: object, **_options: object) -> GraphModel:
        return self

    def eval(self) -> GraphModel:
        return self


_NUMPY = {"tensor(int64)": np.int64, "tensor(float)": np.float32, "tensor(bool)": np.bool_, "tensor(int32)": np.int32}


@contextmanager
def loading(model: Any) -> Iterator[None]:
    """Let `transformers.pipeline(task, model=FOLDER)` take a model for the folder's weights.

    A pipeline that is given a model and no folder cannot find the folder's tokenizer and processors by itself.
    """
    import transformers.pipelines

    original = transformers.pipelines.infer_framework_load_model

    def give(*_arguments: object, **_options: object) -> tuple[str, Any]:
        return "pt", model

    transformers.pipelines.infer_framework_load_model = give
    try:
        yield
    finally:
        transformers.pipelines.infer_framework_load_model = original
