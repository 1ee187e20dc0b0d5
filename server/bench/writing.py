"""Writes a report as JSON and as a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from server.errors import ServerError


def keep(report: dict[str, Any], folder: Path, name: str) -> str:
    """Write a report as NAME.json and, where matplotlib is installed, as NAME.html; returns the better one's path."""
    target = folder / f"{name}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")
        try:
            from server.bench import page
        except ImportError as error:
            missing = error.name or str(error)
            click.echo(f"{name}.html needs {missing}: pip install 'triton-hf[bench]'", err=True)
            return str(target)
        target = target.with_suffix(".html")
        page.write(report, target)
    except OSError as error:
        raise ServerError(f"{target} cannot be written: {error.strerror or error}") from error
    return str(target)
