"""Whether a model's files are where and what they have to be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from converters.errors import ConversionError
from converters.peek import View
from converters.plan import Plan, why_unknown
from converters.sources import READY_GRAPHS
from converters.tasks import read_json
from converters.weights import POINTER, missing_shards, pointer, served, weights_format
from huggingface_backend.script import CODE
from huggingface_backend.tasks import TASKS

_SIGNS = ("config.json", "modules.json", "model_index.json", CODE)
_TOKENIZERS = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model", "spiece.model")
_SHOWN = 3
_OF_IMAGES = frozenset({"image-classification"})
"""Tasks of the fast path without a tokenizer."""


def one_too_deep(view: View) -> str | None:
    """The folder that holds the whole model, where that is not the top as it has to be."""
    tops = {name.partition("/")[0] for name in view.files}
    if tops & set(_SIGNS):
        return None
    for top in sorted(tops):
        inside = tuple(f"{top}/{name}" for name in ("config.json", "model_index.json", f"{CODE}/"))
        if any(name.startswith(inside) for name in view.files):
            return top
    return None


def stray(view: View) -> Iterator[str]:
    """Notes on files that lie where nobody looks."""
    if "requirements.txt" in view.files and f"{CODE}/requirements.txt" not in view.files:
        yield f"requirements.txt lies beside the weights, where it is not looked for: move it to {CODE}/"


def problems(view: View, plan: Plan, trust_remote_code: bool) -> Iterator[str]:
    """Why the plan cannot be carried out with these files, one line each; a script that brings its model needs none."""
    if plan.tier == "script" or not plan.task:
        return
    weights = _weights(view)
    usable = [name for name in weights if name not in READY_GRAPHS or plan.graph]
    yield from (view.flaws[name] for name in usable if name in view.flaws)
    yield from _pointers(view)
    if not usable:
        yield _no_weights(view, plan)
    for name in view.files:
        if name.endswith(".index.json") and "/" not in name and (view.folder / name).is_file():
            lost = missing_shards(name, _json(view.folder / name), view.files)
            if lost and served(lost[0]):
                more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
                yield f"{name} names {lost[0]}{more}, which is not there"
    if plan.task in TASKS and plan.task not in _OF_IMAGES and not any(name in view.files for name in _TOKENIZERS):
        yield f"missing tokenizer: there is none of {', '.join(_TOKENIZERS[:_SHOWN])}"
    if (
        plan.tier == "torch"
        and not plan.graph
        and plan.requirements is None
        and (view.folder / "config.json").is_file()
    ):
        why = why_unknown(_json(view.folder / "config.json"), trust_remote_code)
        if why is not None:
            yield why


def weights_line(view: View) -> str:
    """The files of weights that count, with their sizes."""
    named = _weights(view)
    shown = [f"{name} ({_size(view.files[name])})" if view.files[name] else name for name in named[:_SHOWN]]
    return ", ".join([*shown, *([f"{len(named) - _SHOWN} more"] if len(named) > _SHOWN else [])])


def _weights(view: View) -> list[str]:
    return [name for name in view.files if served(name, diffusers="model_index.json" in view.files)]


def _no_weights(view: View, plan: Plan) -> str:
    others = sorted({kind for name in view.files if (kind := weights_format(name)) and not name.startswith(f"{CODE}/")})
    if "adapter_config.json" in view.files:
        return "there is only a PEFT adapter: merge it into its base model and save that (merge_and_unload)"
    if any(name in view.files for name in READY_GRAPHS):
        return f"there is a graph, but the {plan.tier} tier needs weights for PyTorch: model.safetensors"
    foreign = [kind for kind in others if kind not in ("safetensors", "PyTorch", "ONNX")]
    if foreign:
        return f"weights only for {' and '.join(foreign)}: save them for PyTorch first"
    if others:
        return f"no weights at the top: {_where(view)} is not looked for; model.safetensors or pytorch_model.bin is"
    return "no weights: there is neither a model.safetensors nor a pytorch_model.bin nor a model.onnx"


def _where(view: View) -> str:
    return next(name for name in view.files if weights_format(name))


def _pointers(view: View) -> Iterator[str]:
    for name, size in view.files.items():
        path = view.folder / name
        if size and size < 1024 and not weights_format(name) and not name.startswith(f"{CODE}/") and path.is_file():
            with path.open("rb") as file:
                if file.read(len(POINTER)) == POINTER:
                    yield pointer(name)


def _json(path: Path) -> dict[str, object]:
    try:
        return read_json(path)
    except ConversionError:
        return {}


def _size(size: int | None) -> str:
    assert size is not None  # noqa: S101
    return f"{size / 1e6:.1f} MB" if size > 1e5 else f"{size / 1e3:.1f} kB"
