"""What becomes of a model, decided from its small files: `check` and `convert` both ask here, and so agree."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.code import normal_program, why_no_script
from converters.errors import ConversionError
from converters.exports import ACCELERATED_AS, FAST_AS, known_architectures, outlook
from converters.scripts import Hook, ScriptFacts, read_script
from converters.sentence_transformers import UnsupportedModuleError, read_pooling
from converters.sources import READY_GRAPHS
from converters.tasks import canonical, choose_task, read_json
from huggingface_backend.manifest import Pooling, Tier, family
from huggingface_backend.script import CODE, PROGRAM, one_by_one, program_file

REQUIREMENTS = "requirements.txt"


@dataclass(frozen=True)
class Ask:
    """What decides beside the model's files."""

    task: str | None = None
    program: str = PROGRAM
    trust_remote_code: bool = False
    torch: bool = False
    """Make no graph."""
    hub_tag: str | None = None
    trusted: bool = True
    """Whether the source's own code/ may run unasked."""
    submitted: Path | None = None
    """A folder that takes the place of code/, the user's own."""


@dataclass(frozen=True)
class Plan:
    """The decision."""

    task: str = ""
    """Empty where a problem keeps it from being told."""
    task_reason: str = ""
    tier: Tier = "fast"
    graph: bool = False
    """Whether a graph is tried for; its failure to export ends on the torch tier."""
    certain: bool = True
    """Whether the tier is known before the export."""
    reasons: tuple[str, ...] = ()
    """Why the tier is not a faster one."""
    pooling: Pooling | None = None
    code: Path | None = None
    """The folder whose small files become the entry's code/: code/ itself, what was submitted, or the model's own where
    the script lies beside the weights. None where no script runs."""
    script: ScriptFacts | None = None
    requirements: Path | None = None
    problems: tuple[str, ...] = ()
    """Why there will be no entry, one line each."""
    notes: tuple[str, ...] = ()

    @property
    def hooks(self) -> tuple[Hook, ...]:
        return self.script.hooks if self.script is not None else ()


def plan(folder: Path, ask: Ask, files: Collection[str]) -> Plan:
    """Decide. `files` are the names of all files of the model, of which `folder` needs to hold only the small ones."""
    found = _with_script(folder, ask)
    problems = list(found.problems)
    names = found.script.names if found.script is not None else ()
    try:
        if "model_fn" in names:
            task = canonical(ask.task) if ask.task else "custom"
            why = "asked for" if ask.task else "what model_fn makes of it"
            program = normal_program(ask.program)
            return replace(
                found, task=task, task_reason=why, tier="script", reasons=(f"{program} brings the model (model_fn)",)
            )
        task, why = choose_task(folder, ask.task, ask.hub_tag)
        return _with_tier(replace(found, task=task, task_reason=why), folder, ask, files)
    except ConversionError as error:
        return replace(found, problems=(*problems, str(error)))


def instances(tier: str, hooks: Collection[str], cores: int) -> int:
    """Processes that serve a model: one a core where requests are answered one by one, else one for all cores."""
    return cores if one_by_one(tier, hooks) else 1


def beyond_fp32(precision: str | None, form: str | None) -> str:
    """What was asked for beside the usual, in words; empty where nothing was."""
    wanted = [precision if precision not in (None, "fp32") else "", "TensorRT" if form == "tensorrt" else ""]
    return " with ".join(filter(None, wanted))


def only_fast(beyond: str, tier: str) -> str:
    """Why a model of another tier does not get that."""
    return f"{beyond} is for the fast tier alone, and this model is on the {tier} tier"


def _with_script(folder: Path, ask: Ask) -> Plan:
    code = ask.submitted or folder / CODE
    path = program_file(code, ask.program)
    if path is None and ask.submitted is None and program_file(folder, ask.program) is not None:
        # multi-model-server has the model's folder on the path as well.
        code, path = folder, program_file(folder, ask.program)
    if path is None:
        notes = [why_no_script(code, ask.program)]
        if (code / REQUIREMENTS).is_file():
            notes.append(f"code/{REQUIREMENTS} is left alone: there is no script that could need it")
        return Plan(notes=tuple(filter(None, notes)))
    if not (ask.trusted or ask.trust_remote_code or ask.submitted):
        note = f"{path.name} of the Hub repository is left out: it runs only with HF_TRUST_REMOTE_CODE"
        return Plan(notes=(note,))
    try:
        facts = read_script(code, path)
    except ConversionError as error:
        return Plan(problems=(str(error),))
    requirements = (ask.submitted or folder / CODE) / REQUIREMENTS
    return Plan(
        code=code,
        script=facts,
        requirements=requirements if requirements.is_file() else None,
        problems=facts.problems,
        notes=tuple(_notes(facts)),
    )


def _notes(facts: ScriptFacts) -> list[str]:
    notes = [f"{star}: whether it brings hooks shows only when the script is imported" for star in facts.stars]
    for hook in facts.hooks:
        if hook.is_async:
            notes.append(f"{hook.where}: {hook.name} is async, and nothing awaits it")
        elif hook.signature is None and hook.name in ("predict_fn", "predict_batch_fn", "transform_fn"):
            notes.append(f"{hook.where}: {hook.name} comes from elsewhere; what it does with the model is not known")
    return notes


def _with_tier(found: Plan, folder: Path, ask: Ask, files: Collection[str]) -> Plan:
    use = found.script.model_use if found.script is not None else None
    if use is not None:
        return replace(found, tier="torch", reasons=(use,))
    if ask.torch:
        return replace(found, tier="torch", reasons=("the ONNX graph did not answer like PyTorch",))
    if found.task not in FAST_AS:
        return _accelerated(found, folder, ask)
    try:
        pooling = read_pooling(folder) if found.task in ("sentence-embedding", "sentence-similarity") else None
    except UnsupportedModuleError as error:
        return replace(found, tier="torch", reasons=(str(error),))
    found = replace(found, graph=True, pooling=pooling)
    if any(name in files for name in READY_GRAPHS):
        return found
    config = read_json(folder / "config.json")
    kind = str(config.get("model_type"))
    chance = outlook(found.task, kind)
    if chance != "none":
        return replace(found, certain=chance == "proven")
    return _on_torch(found, config, kind, ask)


def _accelerated(found: Plan, folder: Path, ask: Ask) -> Plan:
    if family(found.task) not in ACCELERATED_AS:
        return replace(found, tier="torch", reasons=(f"{found.task} has no ONNX export",))
    if found.task == "text-to-image":
        read_json(folder / "model_index.json")
        return replace(found, tier="accelerated", graph=True, certain=False)
    config = read_json(folder / "config.json")
    kind = str(config.get("model_type"))
    chance = outlook(found.task, kind)
    if chance != "none":
        return replace(found, tier="accelerated", graph=True, certain=chance == "proven")
    return _on_torch(found, config, kind, ask)


def _on_torch(found: Plan, config: dict[str, Any], kind: str, ask: Ask) -> Plan:
    why = why_unknown(config, ask.trust_remote_code)
    if why is not None:
        raise ConversionError(why)
    return replace(found, tier="torch", reasons=(f"optimum has no ONNX export of {kind} for {found.task}",))


def why_unknown(config: dict[str, Any], trust_remote_code: bool) -> str | None:
    """Why transformers cannot build the model a config.json describes; None where it can, or is not here to say."""
    kind, known = config.get("model_type"), known_architectures()
    if known is None or kind in known:
        return None
    if "auto_map" not in config:
        return f"unknown architecture {kind!r}: the installed transformers has no such model_type"
    if not trust_remote_code:
        return f"architecture {kind!r} is code in the model's repository, which needs HF_TRUST_REMOTE_CODE"
    return None
