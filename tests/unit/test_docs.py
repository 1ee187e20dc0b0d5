"""The documentation says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from huggingface_backend import wire
from huggingface_backend.tasks import TASKS
from server import reference
from server.cli import cli

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "model_repository" / "README.md"]


def test_the_page_of_settings_is_up_to_date() -> None:
    assert reference.page() == CONFIGURATION, "run: python -m server.reference > docs/configuration.md"


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_setting_is_documented(command: str) -> None:
    for option in cli.commands[command].params:
        if isinstance(option, click.Option):
            for name in (*option.opts, *option.secondary_opts, *(option.envvar or [])):
                assert f"`{name}" in CONFIGURATION, name
            assert option.help, option.opts


def test_every_parameter_of_an_entry_is_documented_and_read() -> None:
    model = (ROOT / "huggingface_backend" / "model.py").read_text("utf-8")
    assert set(re.findall(r'parameters\.get\("(\w+)"', model)) == set(wire.PARAMETERS)


def test_environment_variables_are_read_in_one_place() -> None:
    # The keeper tells its backends where its socket and spool are; the worker quiets a library; the child processes of
    # a script find what it finds; SageMaker's own names are read where scripts import them from.
    ours = {"server/settings/__init__.py", "server/settings/kinds.py", "server/cli.py", "converters/worker/main.py"}
    ours |= {"huggingface_backend/lifeline.py", "huggingface_backend/model.py", "huggingface_backend/script.py"}
    ours |= {"huggingface_backend/compat/sagemaker_inference/environment.py"}
    for package in ("server", "converters", "huggingface_backend"):
        for path in (ROOT / package).rglob("*.py"):
            name = str(path.relative_to(ROOT))
            if name not in ours:
                assert not re.search(r"os\.environ|getenv", path.read_text("utf-8")), name


def test_the_readme_names_what_runs() -> None:
    for task in TASKS:
        assert task in README
    for script in re.findall(r"scripts/([\w-]+)", README):
        assert (ROOT / "scripts" / script).is_file()
    for command in re.findall(r"^triton-hf (\w+)", README, re.MULTILINE):
        assert command in cli.commands


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_changelog_has_this_version() -> None:
    from importlib.metadata import version

    assert f"## {version('triton-hf')}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
