"""A Dockerfile as stages and instructions: as much of the format as ours uses; anything else is a ValueError."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

KEYWORDS = {"ARG", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "LABEL", "RUN", "WORKDIR"}


@dataclass(frozen=True)
class Instruction:
    keyword: str
    text: str
    """Everything behind the keyword, joined to one line, unless it is RUN's; variables are still in it."""
    line: int = field(repr=False)


@dataclass
class Stage:
    name: str
    base: str
    """An image or an earlier stage; variables are still in it."""
    instructions: list[Instruction] = field(default_factory=list)

    def of(self, keyword: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.keyword == keyword]


@dataclass(frozen=True)
class Dockerfile:
    arguments: dict[str, str]
    """ARGs before the first FROM, with their defaults."""
    stages: dict[str, Stage]

    def lineage(self, name: str) -> list[Stage]:
        """A stage with those it is built on, the first one first."""
        stage = self.stages[name]
        return [*(self.lineage(stage.base) if stage.base in self.stages else []), stage]

    def needs(self, name: str) -> list[str]:
        """The stages that building one takes, in an order that works, itself last."""
        found: list[str] = []
        stage = self.stages[name]
        sources = [stage.base, *(source for copy in stage.of("COPY") if (source := copied(copy.text)[0]))]
        for source in sources:
            if source in self.stages:
                found += self.needs(source)
        return list(dict.fromkeys([*found, name]))


def parse(text: str) -> Dockerfile:
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for instruction in _instructions(text):
        if instruction.keyword == "FROM":
            match = re.fullmatch(r"(\S+)\s+AS\s+(\S+)", instruction.text)
            if match is None:
                raise ValueError(f"line {instruction.line}: a stage without a name")
            current = stages[match[2]] = Stage(match[2], match[1])
        elif current is not None:
            current.instructions.append(instruction)
        elif instruction.keyword == "ARG":
            name, _, default = instruction.text.partition("=")
            arguments[name] = expand(default, arguments)
        else:
            raise ValueError(f"line {instruction.line}: {instruction.keyword} before FROM")
    return Dockerfile(arguments, stages)


def _instructions(text: str) -> list[Instruction]:
    found: list[Instruction] = []
    pending: list[str] = []
    start = 0
    for number, line in enumerate(text.splitlines(), 1):
        # Comments and empty lines vanish, between the lines of an instruction too.
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = start if pending else number
        pending.append(line.strip().removesuffix("\\"))
        if line.rstrip().endswith("\\"):
            continue
        keyword, _, rest = "".join(pending).partition(" ")
        if keyword not in KEYWORDS:
            raise ValueError(f"line {start}: {keyword} is not followed here")
        found.append(Instruction(keyword, rest.strip(), start))
        pending = []
    if pending:
        raise ValueError(f"line {start}: no end")
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$X` and `${X}` replaced; an unknown one is empty, as Docker has it."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: variables.get(found[1] or found[2], ""), text)


def pairs(text: str, variables: Mapping[str, str]) -> dict[str, str]:
    """The `name=value` of ENV and LABEL."""
    return {name: value for name, _, value in (word.partition("=") for word in shlex.split(expand(text, variables)))}


def exec_form(text: str) -> list[str]:
    """The words of an exec form; ValueError for a shell form."""
    words = json.loads(text)
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise ValueError(f"no exec form: {text}")
    return words


def copied(text: str) -> tuple[str | None, list[str], str]:
    """Of a COPY: the stage it takes from, None for the build context; the sources; the destination."""
    *options, sources = re.split(r"\s+(?!--)", text, maxsplit=1) if text.startswith("--") else [text]
    stage = options[0].removeprefix("--from=") if options else None
    *names, destination = sources.split()
    return stage, names, destination
