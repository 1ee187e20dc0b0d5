"""`python -m server.reference > docs/configuration.md`: the page of every setting, made from their declarations."""

from __future__ import annotations

import click

from huggingface_backend import wire
from server import settings

INTRODUCTION = """\
# Configuration

This page is made from the code; `python -m server.reference > docs/configuration.md` makes it again.

Each setting is a flag of `triton-hf`, and most are environment variables too. A flag wins over a variable; where a
setting has several variables, the first one that is set wins. The variables are those of SageMaker, its Hugging Face
toolkit and multi-model-server where these have one, so that an endpoint's environment can stay as it is.
"""

GROUPS = (
    (
        "Conversion",
        "For `triton-hf convert`, `serve` and `check`. All but `--token` and `--cache` choose the conversion.",
        settings.CONVERSION,
    ),
    ("Serving", "For `triton-hf serve`.", settings.SERVING),
)

ARGUMENTS = """\
## Arguments

| Argument | Meaning |
|---|---|
| `SOURCE` | A Hub id, a folder, a `model.tar.gz`, or an entry that was converted before. `serve` without it takes `--repository`, else `HF_MODEL_ID`, else SageMaker's model folder. |
| `--repository DIR` | A Triton model repository: `convert` and `serve SOURCE` put the entry there, `serve` alone serves every entry in it. |
| `--name NAME` | The model's name; the source's own if absent. |
| `--json` | `check` prints its report as a JSON object. |
| `--import` | `check` also installs the requirements and imports the script. |
"""  # noqa: E501

ENTRY = """\
## An entry's own parameters

Under `parameters` in an entry's `config.pbtxt`, as string values; they also hold on a plain Triton.
"""

ELSEWHERE = """\
## Variables of the libraries

`HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE` and the other variables of `huggingface_hub` work as they do there.
`XDG_CACHE_HOME` moves the default cache; `TMPDIR` moves the server's private folder (spool, socket).
"""


def page() -> str:
    """The page as Markdown."""
    parts = [INTRODUCTION, ARGUMENTS]
    for title, text, group in GROUPS:
        parts.append(f"## {title}\n\n{text}\n\n{_table(group)}\n")
    rows = "\n".join(f"| `{name}` | {text} |" for name, text in wire.PARAMETERS.items())
    parts += [f"{ENTRY}\n| Parameter | Meaning |\n|---|---|\n{rows}\n", ELSEWHERE]
    return "\n".join(parts)


def _table(group: settings.Group) -> str:
    lines = ["| Flag | Environment | Default | Meaning |", "|---|---|---|---|"]
    command = settings.options(group)(click.Command("settings"))
    # click puts the last option applied first.
    for option in reversed(command.params):
        flags = "/".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
        variables = option.envvar if isinstance(option.envvar, list) else [option.envvar] if option.envvar else []
        names = ", ".join(f"`{name}`" for name in variables)
        lines.append(f"| {flags} | {names} | {_default(option)} | {getattr(option, 'help', '')} |")
    return "\n".join(lines)


def _default(option: click.Parameter) -> str:
    shown = getattr(option, "show_default", None)
    if isinstance(shown, str):
        return f"`{shown}`"
    if option.default is None or not str(option.default) or "Sentinel" in str(option.default):
        return ""
    if isinstance(option.default, bool):
        return "on" if option.default else "off"
    return f"`{option.default}`"


if __name__ == "__main__":
    click.echo(page(), nl=False)
