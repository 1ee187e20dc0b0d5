"""The parameters of each pipeline's call, found in transformers itself, and those no case can have."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from tests.parity.case import Subject
from tests.parity.cases import SUBJECTS

GENERATION = (
    "bad_words_ids",
    "do_sample",
    "early_stopping",
    "length_penalty",
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "no_repeat_ngram_size",
    "num_beams",
    "num_return_sequences",
    "repetition_penalty",
    "seed",
    "temperature",
    "top_k",
    "top_p",
)
"""Chosen from what `generate` takes; `seed` is ours, since a request can carry no generator."""
WRITING = ("text-generation", "text2text-generation", "summarization", "translation")
TOKENIZER = ("add_special_tokens", "max_length", "padding", "truncation")

OWN: dict[str, tuple[str, ...]] = {
    "sentence-embedding": ("normalize_embeddings", "prompt", "prompt_name", "truncate_dim"),
    "sentence-similarity": (),
    "text-ranking": ("raw_scores", "return_text"),
    "text-to-image": (
        "guidance_scale",
        "height",
        "negative_prompt",
        "num_inference_steps",
        "seed",
        "width",
    ),
}
"""Tasks that are not pipelines of transformers: what ours take."""

UNSAYABLE: dict[tuple[str, str], str] = {
    ("text-to-image", "num_images_per_prompt"): "taken for 1, as by the original toolkit",
    ("*", "timeout"): "bounds the fetching of a URL, and URLs are not followed",
    ("*", "num_workers"): "starts processes, and changes no answer",
    ("*", "batch_size"): "changes no answer; texts and pictures have a case of it",
    ("*", "generation_config"): "an object of Python",
    ("*", "assistant_model"): "an object of Python",
    ("*", "return_type"): "a member of a Python enumeration, which no JSON value equals",
    ("*", "images"): "an older name of the inputs",
    ("*", "videos"): "an older name of the inputs",
    ("automatic-speech-recognition", "decoder_kwargs"): "only for CTC with a language model (pyctcdecode, kenlm)",
    ("depth-estimation", "parameters"): "holds nothing but timeout",
    ("document-question-answering", "lang"): "of Tesseract, which is not installed",
    ("document-question-answering", "tesseract_config"): "of Tesseract, which is not installed",
    ("document-question-answering", "max_question_len"): "read, and then used nowhere",
    ("image-to-image", "head_mask"): "an array of PyTorch",
    ("mask-generation", "crops_n_layers"): "the pipeline of 4.57 fails on every value but 0",
    ("mask-generation", "crop_overlap_ratio"): "means something only with crops_n_layers",
    ("mask-generation", "crop_n_points_downscale_factor"): "means something only with crops_n_layers",
    ("mask-generation", "max_hole_area"): "only SAM 2 has it; the processor of SAM refuses it",
    ("mask-generation", "max_sprinkle_area"): "only SAM 2 has it; the processor of SAM refuses it",
    ("text-to-audio", "preprocess_params"): "set and then thrown away",
    ("text-to-audio", "generate_kwargs"): "refused by models that only go forward, such as VITS",
    ("translation", "task"): "handed on to generate, which refuses it",
    ("token-classification", "offset_mapping"): "refused by fast tokenizers, which know the offsets themselves",
}
"""`(task or *, parameter)` to the reason why no request can show it."""


def parameters(task: str) -> tuple[str, ...]:
    """The parameters of a task that a request could carry, in the order of the alphabet."""
    if task in OWN:
        return OWN[task]
    from transformers.pipelines import SUPPORTED_TASKS

    general = "translation" if task.startswith("translation") else task
    found = set(_of_pipeline(SUPPORTED_TASKS[general]["impl"]))
    if general in WRITING:
        found |= set(GENERATION)
    if general == "text-classification":
        found |= set(TOKENIZER)
    return tuple(sorted(name for name in found if not reason(task, name)))


def reason(task: str, name: str) -> str:
    """Why no case has a parameter; empty where one should."""
    return UNSAYABLE.get((task, name)) or UNSAYABLE.get(("*", name), "")


def coverage(task: str, subjects: tuple[Subject, ...] = SUBJECTS) -> tuple[list[str], list[str]]:
    """The parameters that some case of the task has, and those that none has."""
    used: set[str] = set()
    for subject in subjects:
        if subject.task == task or subject.task.startswith(f"{task}_"):
            for case in subject.cases:
                used |= {part for name in case.names() for part in (name, name.rpartition(".")[2])}
    wanted = parameters(task)
    return [name for name in wanted if name in used], [name for name in wanted if name not in used]


def _of_pipeline(pipeline: type[Any]) -> Iterator[str]:
    """What `_sanitize_parameters` and `__call__` name, in their signatures and inside."""
    for method in ("_sanitize_parameters", "__call__"):
        for owner in pipeline.__mro__:
            function = owner.__dict__.get(method)
            if function is None or owner.__name__ in ("Pipeline", "_ScikitCompat"):
                continue
            names = [
                name
                for name, parameter in inspect.signature(function).parameters.items()
                if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            ]
            # The call's first argument is the inputs.
            yield from names[1:] if method == "_sanitize_parameters" else names[2:]
            yield from _read_of_keywords(function)


def _read_of_keywords(function: Callable[..., Any]) -> Iterator[str]:
    """The literal names that a function looks up in its **keywords."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    if not isinstance(definition, ast.FunctionDef) or definition.args.kwarg is None:
        return
    keywords = definition.args.kwarg.arg

    def is_keywords(node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == keywords

    for node in ast.walk(definition):
        found: ast.AST | None = None
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In) and is_keywords(node.comparators[0]):
            found = node.left
        elif isinstance(node, ast.Subscript) and is_keywords(node.value) and isinstance(node.ctx, ast.Load):
            found = node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_keywords(node.func.value):
            found = node.args[0] if node.func.attr in ("get", "pop") and node.args else None
        if isinstance(found, ast.Constant) and isinstance(found.value, str):
            yield found.value
