"""`python -m server.reference > docs/configuration.md`: the page of every setting, made from their declarations."""

from __future__ import annotations

import click

from huggingface_backend import wire
from server import settings
from server.settings.origins import origin

INTRODUCTION = """\
# Configuration

This page is made from the code; `python -m server.reference > docs/configuration.md` makes it again.

Each setting is a flag of `triton-hf`, and most are environment variables too. A flag wins over a variable; where a
setting has several variables, the first one that is set wins; an empty one is not set. A value that does not fit ends
the command with a line that names the variable, and exit code 2.

The variables are those of SageMaker, its toolkits and the servers in its images where these have one, so that an
endpoint's environment can stay as it is. [The last table](#environment-variables) has them all, with who named them.
"""

GROUPS = (
    (
        "Conversion",
        (
            "For `triton-hf convert`, `serve`, `check`, `transform` and `bench --tune`. All but `--token` and "
            "`--cache` choose what becomes of the model."
        ),
        settings.CONVERSION,
    ),
    ("The model", "For `triton-hf serve`: what is served, and how it runs.", settings.MODEL),
    ("Many models", "For `triton-hf serve`, in multi-model mode.", settings.MULTI_MODEL),
    ("Listening", "For `triton-hf serve`.", settings.LISTENING),
    ("Requests", "For `triton-hf serve`.", settings.REQUESTS),
    ("Batch transform", "For `triton-hf serve`; see [batch.md](batch.md).", settings.BATCH),
    (
        "Jobs of lines",
        "For `triton-hf transform IN OUT`, which takes the settings of a conversion too; see [batch.md](batch.md).",
        settings.TRANSFORM,
    ),
    (
        "Measuring and tuning",
        "For `triton-hf bench`, which takes the settings of a conversion too, for `--tune`; see [bench.md](bench.md).",
        settings.BENCH,
    ),
    ("Triton", "For `triton-hf serve`, about the tritonserver that it starts.", settings.TRITON),
)

ARGUMENTS = """\
## Arguments

| Argument | Meaning |
|---|---|
| `URL_OR_PORT` | The endpoint that `bench` loads. |
| `SOURCE` | A Hub id, a folder, a `model.tar.gz`, or an entry that was converted before. `serve` without it takes `--repository`, else `HF_MODEL_ID`, else `HF_MODEL_DIR`, else SageMaker's model folder. |
| `--repository DIR` | A Triton model repository: `convert` and `serve SOURCE` put the entry there, `serve` alone serves every entry in it. |
| `--archive FILE` | `convert` packs the entry into a `model.tar.gz`. |
| `--fall-back`/`--no-fall-back` | `convert` makes an entry for PyTorch where the ONNX graph does not answer like it, as `serve` does. |
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
    parts += [f"{ENTRY}\n| Parameter | Meaning |\n|---|---|\n{rows}\n", ELSEWHERE, _variables()]
    return "\n".join(parts)


def parameters(group: settings.Group) -> list[click.Parameter]:
    command = settings.options(group)(click.Command("settings"))
    # click puts the last option applied first.
    return list(reversed(command.params))


def _envvars(option: click.Parameter) -> list[str]:
    given = option.envvar or []
    return [given] if isinstance(given, str) else list(given)


def _variables() -> str:
    """Every variable, with its setting and its origin."""
    lines = ["## Environment variables", "", "| Variable | Named by | Flag | Default |", "|---|---|---|---|"]
    options = [option for _, _, group in GROUPS for option in parameters(group)]
    found = sorted((name, option.opts[0], _default(option)) for option in options for name in _envvars(option))
    lines += [f"| `{name}` | {origin(name)} | `{flag}` | {default} |" for name, flag, default in found]
    return "\n".join(lines) + "\n"


def _table(group: settings.Group) -> str:
    lines = ["| Flag | Environment | Default | Meaning |", "|---|---|---|---|"]
    for option in parameters(group):
        flags = "/".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
        names = ", ".join(f"`{name}`" for name in _envvars(option))
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
