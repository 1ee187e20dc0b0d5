"""What .dockerignore leaves of a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path


def patterns(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def files(root: Path, ignore: Sequence[str]) -> Iterator[Path]:
    """The files that Docker would be sent, relative to the root."""
    rules = [(not pattern.startswith("!"), _expression(pattern.removeprefix("!"))) for pattern in ignore]
    names = {pattern.removeprefix("!").split("/")[0] for pattern in ignore if pattern.startswith("!")}
    for name in sorted(names):
        top = root / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            relative = path.relative_to(root)
            if path.is_file() and not _ignored(relative.as_posix(), rules):
                yield relative


def _ignored(name: str, rules: Sequence[tuple[bool, re.Pattern[str]]]) -> bool:
    # The last rule that fits decides.
    return next((ignores for ignores, rule in reversed(rules) if rule.match(name)), False)


def _expression(pattern: str) -> re.Pattern[str]:
    """A rule for a folder holds for what is in it."""
    parts = {"**/": "(?:.*/)?", "*": "[^/]*"}
    body = re.sub(r"\*\*/|\*|[^*]+", lambda found: parts.get(found[0], re.escape(found[0])), pattern)
    return re.compile(f"{body}(?:/.*)?$")
