"""One job: load, export, choose the fastest graph, compare it with PyTorch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from converters import tensorrt
from converters.entry import PLAN
from converters.errors import ConversionError, GateError, PrecisionError
from converters.sources import READY_GRAPHS
from converters.worker import candidates, fp16, gate, image_processors, loading, precision, rankers, timing
from converters.worker.protocol import Job, NotExportableError
from converters.worker.texts import TEXTS, own_texts
from huggingface_backend.batches import Pixels
from huggingface_backend.errors import EntryError
from huggingface_backend.manifest import GRAPH, TOKENIZER, Gate, Manifest, Pooling, TokenizerFacts
from huggingface_backend.providers import Place
from huggingface_backend.session import Session
from huggingface_backend.tasks import TASKS
from huggingface_backend.tasks.zero_shot_classification import entailment
from huggingface_backend.tensorrt import ENGINES
from huggingface_backend.tokenization import TextTokenizer

LABELLED = frozenset(
    {"image-classification", "text-classification", "text-ranking", "token-classification", "zero-shot-classification"}
)


def convert(job: Job, emit: Callable[..., None]) -> dict[str, Any]:
    """Write model.onnx and tokenizer.json into the job's target; return the manifest fields found out."""
    source, target = Path(job.source), Path(job.target)
    ready = next((source / name for name in READY_GRAPHS if (source / name).is_file()), None)
    job, notes = _possible(job, emit)

    images = job.task == "image-classification"
    emit("stage", name=f"reading the {'image processor' if images else 'tokenizer'}")
    facts = TokenizerFacts() if images else loading.save_tokenizer(source, target / TOKENIZER, job.trust_remote_code)
    image, pixels = image_processors.resolve(source, job.trust_remote_code) if images else (None, [])
    config = loading.read_config(source, job.trust_remote_code)
    labels = loading.labels(config) if job.task in LABELLED else {}
    ranking = None
    if job.task == "text-ranking":
        ranking = rankers.read_ranking(source, config, len(labels), facts, job.trust_remote_code)
    named = config.get("label2id") if job.task == "zero-shot-classification" else None
    pooling = Pooling(**{**job.pooling, "modes": tuple(job.pooling["modes"])}) if job.pooling else None
    manifest = Manifest(
        task=job.task,
        tier="fast",
        tokenizer=facts,
        pooling=pooling,
        ranking=ranking,
        entailment_id=entailment(named) if named else None,
        image=image,
        labels=labels,
        problem_type=config.get("problem_type"),
        function_to_apply=config.get("function_to_apply"),
        return_all_scores=config.get("return_all_scores"),
        notes=notes,
    )

    model: Any = None
    reason = loading.why_no_weights(source)
    if reason is None:
        emit("stage", name="loading the weights into PyTorch")
        model = loading.load_model(source, job.task, job.trust_remote_code)
    graphs: dict[str, Path]
    if ready is not None:
        graphs = {"as-is": candidates.copy_graph(ready, target)}
    else:
        emit("stage", name="exporting to ONNX")
        graphs = {"plain": candidates.export(model, job, target)}
        # Fused attention knows where a mask ends and not where it begins, and requests may ask for padding.
        # TensorRT finds what it can fuse itself.
        fusible = facts.padding_side == "right" and job.format != "tensorrt"
        fused = candidates.fuse(graphs["plain"], config) if fusible else None
        if fused is not None:
            graphs["fused"] = fused

    unfused = next(iter(graphs.values()))
    try:
        Session(unfused, outputs=TASKS[job.task].outputs, lanes=1)
    except EntryError as error:
        if ready is not None:
            raise ConversionError(f"the source's {ready.name} cannot be served: {error}") from error
        raise NotExportableError(f"the exported graph has no fast path: {error}") from error
    if not images:
        manifest = replace(manifest, max_tokens=gate.longest_input(unfused, config))
    timings: dict[str, float] = {}
    if len(graphs) > 1:
        emit("stage", name=f"timing {' and '.join(graphs)}")
        timings = timing.time_graphs(graphs, manifest.max_tokens)
    order = sorted(graphs, key=lambda name: timings.get(name, 0.0))

    verdict = Gate(reason=reason or "")
    task = TASKS[job.task](manifest, None if images else TextTokenizer(target / TOKENIZER, facts))
    examples: gate.Examples | None = None
    asked = (*TEXTS, *own_texts(job.calibration))
    if model is not None:
        emit("stage", name="comparing with PyTorch")
        if images:
            examples = gate.Examples.of_images(model, task, pixels)
        else:
            examples = gate.Examples.of(model, task, source, job.trust_remote_code, asked)
        for name in order:
            verdict = examples.compare(graphs[name])
            if verdict.verdict == "passed":
                order = [name]
                break
            emit("note", text=f"the {name} graph {verdict.describe()}")
        else:
            raise GateError(f"the ONNX graph does not answer like PyTorch: {verdict.describe()}")
    chosen = order[0]
    manifest = replace(manifest, graph=chosen, candidates=timings, gate=verdict)

    if job.precision != "fp32":
        if examples is None:
            examples = gate.Examples.of_graph(unfused, task, pixels, asked)
        manifest, graph = _lowered(job, manifest, emit, unfused, graphs[chosen], config, examples)
        if graph is not None:
            chosen = graph.parent.name
            graphs[chosen] = graph
    candidates.keep(graphs, chosen, target / GRAPH)
    emit("stage", name="choosing the token budget")
    budget, budgets = timing.find_budget(target / GRAPH, manifest.max_tokens, pixels[0] if images else None)
    manifest = replace(manifest, token_budget=budget, budgets=budgets)
    if job.format == "tensorrt":
        manifest = _with_tensorrt(job, target / GRAPH, manifest, examples, emit)
    return asdict(manifest)


def _lowered(
    job: Job,
    manifest: Manifest,
    emit: Callable[..., None],
    plain: Path,
    fastest: Path,
    config: dict[str, Any],
    examples: gate.Examples,
) -> tuple[Manifest, Path | None]:
    """The manifest, and the graph in the job's precision; None where it falls back to the fastest fp32 one."""
    try:
        if job.precision == "fp16":
            fused = manifest.tokenizer.padding_side == "right" and job.format != "tensorrt"
            found = precision.fp16(plain, config, examples, emit, fused=fused)
        else:
            image = next((item for item in examples.items if isinstance(item, Pixels)), None)
            found = precision.Int8(plain, examples, emit).find(fastest, image)
    except PrecisionError as error:
        if not job.fall_back:
            raise
        emit("note", text=f"{error}; falling back to fp32")
        shutil.rmtree(plain.parent.parent / job.precision, ignore_errors=True)
        return replace(manifest, notes=(*manifest.notes, str(error))), None
    return found.into(manifest), found.graph


def _possible(job: Job, emit: Callable[..., None]) -> tuple[Job, tuple[str, ...]]:
    """The job, without TensorRT where this machine has none and ONNX Runtime will do, and why.

    Before the export, which takes minutes.
    """
    if job.precision == "fp16" and (why := fp16.gains_nothing()) is not None:
        emit("note", text=why)
    if job.format != "tensorrt":
        return job, ()
    try:
        tensorrt.require(job.precision)
    except PrecisionError as error:
        if not job.fall_back:
            raise
        emit("note", text=f"{error}; falling back to ONNX Runtime")
        return replace(job, format="onnx"), (str(error),)
    return job, ()


def _with_tensorrt(
    job: Job, graph: Path, manifest: Manifest, examples: gate.Examples | None, emit: Callable[..., None]
) -> Manifest:
    """The manifest of an entry whose graph TensorRT runs; where that falls back, of one whose graph it does not."""
    emit("stage", name="building for TensorRT")
    try:
        found = replace(manifest, engine="tensorrt", tensorrt=tensorrt.build(graph, manifest))
        if examples is None:
            return found
        allowed = gate.FP16 if manifest.precision == "fp16" else gate.FP32
        verdict = examples.compare(graph, allowed, Place(tensorrt=found.tensorrt))
        if verdict.verdict != "passed":
            raise PrecisionError(f"TensorRT does not answer like PyTorch: {verdict.describe()}")
        return replace(found, gate=verdict)
    except PrecisionError as error:
        if not job.fall_back:
            raise
        for left in (graph.parent / ENGINES, graph.parent.parent / PLAN):
            shutil.rmtree(left, ignore_errors=True)
        emit("note", text=f"{error}; falling back to ONNX Runtime")
        return replace(manifest, notes=(*manifest.notes, str(error)))
