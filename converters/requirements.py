"""A requirements.txt as pip would read it: which lines it has, and how they go with each other and with the server."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from huggingface_backend.manifest import Tier

_ALWAYS = frozenset({"numpy", "orjson"})
_GRAPHS = frozenset({"onnxruntime", "onnxruntime-gpu", "tokenizers"})
LOADED_FIRST: dict[Tier, frozenset[str]] = {
    "script": _ALWAYS,
    "fast": _ALWAYS | _GRAPHS,
    "accelerated": _ALWAYS | _GRAPHS | {"optimum", "optimum-onnx", "torch", "transformers"},
    "torch": _ALWAYS,
}
"""The distributions whose modules are loaded when a script of each tier is imported: for these, what its own
requirements install comes too late."""

_INCLUDE = re.compile(r"(-r|--requirement|-c|--constraint)[ =]?(.+)")
_EDITABLE = re.compile(r"(-e|--editable)\b[ =]?(.*)")
_LOCAL = re.compile(r"[./].*|.*\.(whl|zip|tar\.gz)")


@dataclass(frozen=True)
class Line:
    """One requirement, or a line that is none."""

    where: str
    """`FILE:LINE`."""
    text: str
    requirement: Requirement | None = None
    constraint: bool = False
    problem: str | None = None

    @property
    def name(self) -> str:
        """The canonical name; empty for a path or an option."""
        return canonicalize_name(self.requirement.name) if self.requirement is not None else ""


@dataclass(frozen=True)
class Opinion:
    """What becomes of one requirement."""

    line: Line
    outcome: str
    installs: bool = False
    """Whether pip will have to fetch it."""
    problem: bool = False


def read(path: Path) -> list[Line]:
    """The lines of a file and of those it includes that ask for something; comments and pip's options are left out."""
    return list(_lines(path, path.parent, set(), constraint=False))


def included(path: Path) -> list[Path]:
    """The file, those it includes, and local files and folders that its lines name: what an installation depends on."""
    root, found, waiting = path.parent, [path], [path]
    while waiting:
        current = waiting.pop()
        for _, text in _logical(current):
            include = _INCLUDE.match(text)
            names = [include[2].strip()] if include else re.split(r"[\s=\[\]]|file:", text)
            base = current.parent if include else root
            for name in filter(None, names):
                target = base / name.strip("'\"")
                if target not in found and target != root and target.exists():
                    found.append(target)
                    if include:
                        waiting.append(target)
    return found


def judge(lines: list[Line], tier: Tier) -> list[Opinion]:
    """What becomes of each line in this environment, conflicts among the lines included."""
    here = installed()
    wanted: dict[str, list[Line]] = {}
    for line in lines:
        if line.name and line.requirement is not None and _applies(line.requirement):
            wanted.setdefault(line.name, []).append(line)
    return [_judge(line, wanted, here, LOADED_FIRST[tier]) for line in lines if not line.constraint or line.problem]


def installed() -> Mapping[str, str]:
    """Canonical names and versions of what this environment has."""
    found: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(canonicalize_name(name), distribution.version)
    return found


def _judge(line: Line, wanted: Mapping[str, list[Line]], here: Mapping[str, str], loaded: Collection[str]) -> Opinion:
    requirement = line.requirement
    if line.problem is not None:
        return Opinion(line, line.problem, problem=True)
    if requirement is None or requirement.url:
        return Opinion(line, "installed at conversion", installs=True)
    if not _applies(requirement):
        return Opinion(line, "left out here: its marker says so")
    others = [other for other in wanted[line.name] if other is not line]
    for other in others:
        assert other.requirement is not None  # noqa: S101
        if not compatible([requirement.specifier, other.requirement.specifier]):
            # One conflict is one problem: the second line's.
            second = wanted[line.name].index(other) < wanted[line.name].index(line)
            return Opinion(line, f"conflicts with {other.text} ({other.where})", problem=second)
    version = here.get(line.name)
    together = requirement.specifier
    for other in others:
        together &= other.requirement.specifier if other.requirement is not None else SpecifierSet()
    if version is not None and together.contains(version, prereleases=True):
        return Opinion(line, f"satisfied by the server's {version}")
    # The two packages of ONNX Runtime hold one module.
    same = ("onnxruntime", "onnxruntime-gpu") if line.name.startswith("onnxruntime") else (line.name,)
    first = next((name for name in same if name in loaded and name in here), None)
    if first is not None:
        return Opinion(line, f"the server's {first} {here[first]} is loaded first and wins", installs=True)
    if version is not None:
        return Opinion(line, f"installs over the server's {version} for this model alone", installs=True)
    return Opinion(line, "installed at conversion", installs=True)


def compatible(specifiers: list[SpecifierSet]) -> bool:
    """Whether any version fits them all, as far as the versions they name and those just beside them tell."""
    together = SpecifierSet()
    for each in specifiers:
        together &= each
    candidates = [Version("0"), Version("99999")]
    for specifier in together:
        try:
            version = Version(specifier.version.removesuffix(".*"))
        except InvalidVersion:  # `===` takes anything
            return True
        candidates += [version, Version(f"{version.base_version}.0.0.1"), Version(f"{version.base_version}.dev0")]
        candidates += [Version(below) for below in _just_below(version)]
    return any(together.contains(candidate, prereleases=True) for candidate in candidates)


def _just_below(version: Version) -> Iterator[str]:
    release = list(version.release)
    for index in range(len(release)):
        if release[index]:
            yield ".".join(map(str, [*release[:index], release[index] - 1, 99999]))


def _applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()


def _lines(path: Path, root: Path, seen: set[Path], *, constraint: bool) -> Iterator[Line]:
    seen.add(path)
    for number, text in _logical(path):
        where = f"{path.relative_to(root) if path.is_relative_to(root) else path}:{number}"
        include, editable = _INCLUDE.match(text), _EDITABLE.match(text)
        if include:
            target = path.parent / include[2].strip()
            if "://" in include[2]:
                continue
            if not target.is_file():
                yield Line(where, text, problem=f"there is no {include[2].strip()} beside it")
            elif target not in seen:
                yield from _lines(target, root, seen, constraint=constraint or include[1] in ("-c", "--constraint"))
        elif editable:
            yield Line(where, text, problem="cannot stay editable in an entry: take the -e away")
        elif not text.startswith("-"):
            yield _line(where, text, root, constraint)


def _line(where: str, text: str, root: Path, constraint: bool) -> Line:
    bare = re.split(r"\s--", text)[0].strip()
    name = bare.partition("[")[0].removeprefix("file:")
    if "://" not in bare and " @ " not in bare and _LOCAL.fullmatch(name):
        missing = None if (root / name).exists() else "is not there, in code/"
        return Line(where, bare, constraint=constraint, problem=missing)
    if "://" in bare and " @ " not in bare:
        return Line(where, bare, constraint=constraint)
    try:
        return Line(where, bare, Requirement(bare), constraint)
    except InvalidRequirement as error:
        return Line(where, bare, constraint=constraint, problem=f"is no requirement: {str(error).splitlines()[0]}")


def _logical(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without comments, continued ones joined."""
    text, first = "", 0
    for number, raw in enumerate(path.read_text("utf-8-sig", "replace").splitlines(), 1):
        first = first or number
        if raw.rstrip().endswith("\\"):
            text += raw.rstrip()[:-1] + " "
            continue
        text = re.sub(r"(^|\s)#.*$", "", text + raw).strip()
        if text:
            yield first, text
        text, first = "", 0
    if text.strip():
        yield first, text.strip()
