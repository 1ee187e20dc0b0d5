"""One job: load, export, choose the fastest graph, compare it with PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from converters.errors import ConversionError, GateError
from converters.sources import READY_GRAPHS
from converters.worker import candidates, gate, image_processors, loading, rankers
from converters.worker.protocol import Job, NotExportableError
from huggingface_backend.errors import EntryError
from huggingface_backend.manifest import GRAPH, TOKENIZER, Gate, Manifest, Pooling, TokenizerFacts
from huggingface_backend.session import Session
from huggingface_backend.tasks import TASKS
from huggingface_backend.tasks.zero_shot_classification import entailment
from huggingface_backend.tokenization import TextTokenizer

LABELLED = frozenset(
    {"image-classification", "text-classification", "text-ranking", "token-classification", "zero-shot-classification"}
)


def convert(job: Job, emit: Callable[..., None]) -> dict[str, Any]:
    """Write model.onnx and tokenizer.json into the job's target; return the manifest fields found out."""
    source, target = Path(job.source), Path(job.target)
    ready = next((source / name for name in READY_GRAPHS if (source / name).is_file()), None)

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
        fused = candidates.fuse(graphs["plain"], config) if facts.padding_side == "right" else None
        if fused is not None:
            graphs["fused"] = fused

    try:
        Session(next(iter(graphs.values())), outputs=TASKS[job.task].outputs)
    except EntryError as error:
        if ready is not None:
            raise ConversionError(f"the source's {ready.name} cannot be served: {error}") from error
        raise NotExportableError(f"the exported graph has no fast path: {error}") from error
    if not images:
        manifest = replace(manifest, max_tokens=gate.longest_input(next(iter(graphs.values())), config))
    timings: dict[str, float] = {}
    if len(graphs) > 1:
        emit("stage", name=f"timing {' and '.join(graphs)}")
        timings = candidates.time_graphs(graphs, manifest.max_tokens)
    order = sorted(graphs, key=lambda name: timings.get(name, 0.0))

    verdict = Gate(reason=reason or "")
    if model is not None:
        emit("stage", name="comparing with PyTorch")
        if images:
            examples = gate.Examples.of_images(model, TASKS[job.task](manifest), pixels)
        else:
            tokenizer = TextTokenizer(target / TOKENIZER, facts)
            task = TASKS[job.task](manifest, tokenizer)
            examples = gate.Examples.of(model, task, tokenizer, source, job.trust_remote_code)
        for name in order:
            verdict = examples.compare(graphs[name])
            if verdict.verdict == "passed":
                order = [name]
                break
            emit("note", text=f"the {name} graph {verdict.describe()}")
        else:
            raise GateError(f"the ONNX graph does not answer like PyTorch: {verdict.describe()}")
    chosen = order[0]
    candidates.keep(graphs, chosen, target / GRAPH)
    return asdict(replace(manifest, graph=chosen, candidates=timings, gate=verdict))
