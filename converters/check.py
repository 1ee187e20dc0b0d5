"""What would become of a source, told without converting it and without running anything of it."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from converters import layout, ready
from converters.code import submitted_folder
from converters.convert import Options
from converters.importing import import_script
from converters.peek import View, look
from converters.plan import Ask, Plan, beyond_fp32, instances, only_fast, plan
from converters.progress import Progress
from converters.requirements import Opinion, judge, read
from converters.tasks import canonical
from huggingface_backend.script import CODE, COMPAT

_MODULES_OF = {
    "beautifulsoup4": "bs4",
    "faiss-cpu": "faiss",
    "opencv-python": "cv2",
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "protobuf": "google",
    "pyjwt": "jwt",
    "python-dateutil": "dateutil",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
}
"""Modules that are called otherwise than the distribution that brings them."""


@dataclass
class Report:
    """What `check` found; `as_json` is its stable form."""

    source: str
    kind: str = ""
    """A folder, an archive, a Hub model, an entry."""
    files: int = 0
    weights: str = ""
    task: str = ""
    task_reason: str = ""
    tier: str = ""
    certain: bool = True
    """False where only the conversion can tell whether the model gets its fast path."""
    reasons: list[str] = field(default_factory=list)
    hooks: list[dict[str, Any]] = field(default_factory=list)
    instances: int = 1
    requirements: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def serves(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        return {"serves": self.serves, **asdict(self)}


def check(
    source: str,
    options: Options,
    cache: Path,
    progress: Progress,
    *,
    revision: str | None = None,
    token: str | None = None,
    run_script: bool = False,
) -> Report:
    """Look at a source. ConversionError where there is nothing to look at.

    With `run_script` the requirements are installed into the cache and the script is imported, in a child process.
    """
    with look(source, cache, progress, revision, token, whole_code=run_script) as view:
        converted = ready.find(view.folder) if view.trusted else None
        if converted is not None:
            return _of_entry(source, view, converted, options)
        code, ignored = submitted_folder(options.submit_directory, view.folder if view.kind == "folder" else None)
        report = Report(source, view.kind, len(view.files))
        report.notes += [ignored] if ignored else []
        nested = layout.one_too_deep(view)
        if nested is not None and code is None:
            how = f"tar czf model.tar.gz -C {nested} ." if view.kind == "archive" else f"name {source}/{nested} instead"
            report.problems.append(f"everything lies one folder too deep, in {nested}/: {how}")
            return report
        ask = Ask(
            options.task,
            options.program,
            options.trust_remote_code,
            hub_tag=view.hub_tag,
            trusted=view.trusted,
            submitted=code,
        )
        decided = plan(view.folder, ask, view.files)
        opinions = [] if decided.requirements is None else judge(read(decided.requirements), decided.tier)
        _fill(report, view, decided, opinions, options)
        if decided.code is None or decided.problems:
            return report
        if not run_script:
            _find_missing(report, view, decided, opinions)
        else:
            found = import_script(view.folder, decided, options.program, cache, progress)
            if found.problem is not None:
                report.problems.append(found.problem)
            else:
                known = {hook["name"]: hook for hook in report.hooks}
                report.hooks = [known.get(name, _unread(name)) for name in found.hooks]
        return report


def _of_entry(source: str, view: View, found: Path, options: Options) -> Report:
    manifest = ready.manifest(
        found, None if options.task is None else canonical(options.task), options.precision, options.format
    )
    beside = [manifest.gate.describe()] if manifest.tier in ("fast", "accelerated") else []
    beside += [manifest.quantization.describe()] if manifest.quantization is not None else []
    where = found.relative_to(view.folder)
    return Report(
        source,
        f"{'an archive of an ' if view.kind == 'archive' else ''}entry that was converted before",
        len(view.files),
        task=manifest.task,
        task_reason="in its manifest",
        tier=manifest.tier,
        reasons=list(manifest.notes),
        hooks=[_unread(name) for name in manifest.hooks],
        instances=instances(manifest.tier, manifest.hooks, _cores()),
        problems=list(ready.missing(manifest, {Path(name) for name in view.files}, where)),
        notes=[*beside, *ready.notes(found)],
    )


def _fill(report: Report, view: View, decided: Plan, opinions: list[Opinion], options: Options) -> None:
    report.weights = layout.weights_line(view)
    report.task, report.task_reason = decided.task, decided.task_reason
    report.tier, report.certain = decided.tier if decided.task else "", decided.certain
    report.reasons = list(decided.reasons)
    report.hooks = [{**asdict(hook), "where": hook.where} for hook in decided.hooks]
    report.instances = instances(decided.tier, [hook.name for hook in decided.hooks], _cores())
    report.problems += [*decided.problems, *layout.problems(view, decided, options.trust_remote_code)]
    report.notes += [*decided.notes, *layout.stray(view)]
    if decided.tier != "script" and find_spec("torch") is None and (decided.tier == "torch" or decided.graph):
        report.notes.append("torch is not installed here: converting and the torch tier need the convert extra")
    beyond = beyond_fp32(options.precision, options.format)
    if beyond and report.tier and report.tier != "fast":
        report.notes.append(only_fast(beyond, report.tier))
    for opinion in opinions:
        line = opinion.line
        report.requirements.append({"where": line.where, "requirement": line.text, "outcome": opinion.outcome})
        if opinion.problem:
            report.problems.append(f"{line.where}: {line.text}: {opinion.outcome}")


def _find_missing(report: Report, view: View, decided: Plan, opinions: list[Opinion]) -> None:
    """Modules that nothing here brings. A package to be installed may bring more than its name says."""
    imports = decided.script.imports if decided.script is not None else {}
    fetched = [opinion.line for opinion in opinions if opinion.installs]
    brought = {_MODULES_OF.get(line.name, line.name.replace("-", "_")).lower() for line in fetched if line.name}
    open_ended = bool(fetched)
    for module, where in imports.items():
        if module in sys.stdlib_module_names or module.lower() in brought or _importable(module):
            continue
        if f"{module}.py" in view.files or any(name.startswith(f"{module}/") for name in view.files):
            continue  # beside the weights, which is on the path too
        if open_ended:
            hint, certain = "no requirement has its name: --import tells whether one of them brings it", False
        else:
            hint, certain = f"{CODE}/requirements.txt should name what brings it", True
        report.missing.append({"module": module, "where": where, "hint": hint})
        if certain:
            report.problems.append(f"{where}: there is no module {module}: {hint}")


def _importable(module: str) -> bool:
    if any((COMPAT / name).exists() for name in (module, f"{module}.py")):
        return True
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _unread(name: str) -> dict[str, Any]:
    return {"name": name, "file": "", "line": 0, "signature": None, "context": None, "is_async": False, "where": ""}


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def failed(source: str, error: Exception) -> Report:
    """The report on a source that cannot be looked at."""
    return replace(Report(source), problems=[str(error)])
