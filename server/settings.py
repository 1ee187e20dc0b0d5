"""Every setting, declared once: its flag, the environment variables it answers to, its default and its meaning.

click reads the environment; nothing else does, and nothing at import. `docs/configuration.md` is made from here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound="Callable[..., Any] | click.Command")
Group = tuple[Callable[[Any], Any], ...]


class LogLevel(click.ParamType[Any]):
    """A level's name, or SageMaker's number for it."""

    name = "level"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = logging.getLevelName(int(value)) if str(value).isdigit() else str(value).upper()
        if name not in logging.getLevelNamesMapping():
            self.fail(f"{value!r} is none of debug, info, warning, error, critical", param, ctx)
        return str(name)


class PortRange(click.ParamType[Any]):
    """`FIRST-LAST`."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        if isinstance(value, range):
            return value
        first, _, last = str(value).partition("-")
        if not (first.isdigit() and last.isdigit() and 0 < int(first) <= int(last) < 65536):
            self.fail(f"{value!r} is not a range of ports like 9000-9999", param, ctx)
        return range(int(first), int(last) + 1)


CONVERSION = (
    click.option("--task", envvar=["HF_TASK"], help="What the model is for; told by its files if not given."),
    click.option(
        "--revision",
        envvar=["HF_MODEL_REVISION", "HF_REVISION"],
        help="Branch, tag or commit of a Hub model.",
    ),
    click.option(
        "--token",
        envvar=["HF_TOKEN", "HF_API_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_TOKEN"],
        help="Access token for gated and private Hub models.",
    ),
    click.option(
        "--trust-remote-code/--no-trust-remote-code",
        envvar=["HF_TRUST_REMOTE_CODE"],
        default=False,
        help="Run modelling code and code/inference.py that come from the Hub.",
    ),
    click.option(
        "--program",
        envvar=["SAGEMAKER_PROGRAM"],
        default="inference.py",
        show_default=True,
        help="The script in the model's code/ folder, as a file or a module.",
    ),
    click.option(
        "--submit-directory",
        envvar=["SAGEMAKER_SUBMIT_DIRECTORY"],
        help="A local folder, or its file:// URL, to take in place of the model's code/; anything else is ignored.",
    ),
    click.option(
        "--cache",
        envvar=["TRITON_HF_CACHE"],
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        show_default="~/.cache/triton-hf",
        help="Where converted models are kept for the next time.",
    ),
)

SERVING = (
    click.option(
        "--model-id",
        envvar=["HF_MODEL_ID"],
        help="The Hub model to serve when no SOURCE is given.",
    ),
    click.option(
        "--base-dir",
        envvar=["SAGEMAKER_BASE_DIR"],
        type=click.Path(path_type=Path),
        default="/opt/ml",
        show_default=True,
        help="SageMaker's folder; its model/ is served when neither SOURCE nor a Hub model is given.",
    ),
    click.option(
        "--host",
        envvar=["TRITON_HF_HOST"],
        default="0.0.0.0",  # noqa: S104
        show_default=True,
        help="Address to listen on.",
    ),
    click.option(
        "--port",
        envvar=["SAGEMAKER_BIND_TO_PORT"],
        type=click.IntRange(1, 65535),
        default=8080,
        show_default=True,
        help="Port to listen on.",
    ),
    click.option(
        "--port-range",
        envvar=["SAGEMAKER_SAFE_PORT_RANGE"],
        type=PortRange(),
        help="Ports that Triton may use on the loopback address, FIRST-LAST; any free ones if not given.",
    ),
    click.option(
        "--timeout",
        envvar=["SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "SAGEMAKER_MODEL_SERVER_TIMEOUT"],
        type=click.FloatRange(min=0, min_open=True),
        default=60.0,
        show_default=True,
        help="Seconds until a request without an answer gets 504.",
    ),
    click.option(
        "--startup-timeout",
        envvar=["SAGEMAKER_STARTUP_TIMEOUT"],
        type=click.FloatRange(min=0, min_open=True),
        default=600.0,
        show_default=True,
        help="Seconds a model may take to load.",
    ),
    click.option(
        "--queue-size",
        envvar=["MMS_JOB_QUEUE_SIZE"],
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        help="Requests that may wait beside those of one full batch; further ones get 503.",
    ),
    click.option(
        "--max-payload-in-mb",
        envvar=["SAGEMAKER_MAX_PAYLOAD_IN_MB"],
        type=click.IntRange(min=0),
        default=100,
        show_default=True,
        help="Larger bodies get 413; 0 allows up to 1 GB.",
    ),
    click.option(
        "--default-accept",
        envvar=["SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"],
        default="application/json",
        show_default=True,
        help="Media type of the answer for clients whose Accept is missing or */*.",
    ),
    click.option(
        "--follow-references/--no-follow-references",
        envvar=["TRITON_HF_FOLLOW_REFERENCES"],
        default=False,
        help="Let pipelines open URLs and file paths that stand in requests in place of an image, audio or video.",
    ),
    click.option(
        "--instances",
        envvar=["SAGEMAKER_MODEL_SERVER_WORKERS", "SAGEMAKER_NUM_MODEL_WORKERS", "MMS_DEFAULT_WORKERS_PER_MODEL"],
        type=click.IntRange(min=1),
        show_default="one a core",
        help="Processes of a model that answers its requests one by one (a script that predicts, or the torch tier); "
        "a model whose requests are batched has one, which uses every core.",
    ),
    click.option(
        "--retry-scripts/--no-retry-scripts",
        envvar=["TRITON_HF_RETRY_SCRIPTS"],
        default=False,
        help="Also try requests again that were in a user's script when its process died.",
    ),
    click.option(
        "--strict/--no-strict",
        envvar=["TRITON_HF_STRICT"],
        default=False,
        help="Fail where the ONNX graph does not answer like PyTorch, instead of serving with PyTorch.",
    ),
    click.option(
        "--log-level",
        envvar=["SAGEMAKER_CONTAINER_LOG_LEVEL"],
        type=LogLevel(),
        default="info",
        show_default=True,
        help="debug shows Triton's own lines too.",
    ),
)


def options(group: Group) -> Callable[[F], F]:
    """Give a command a group of settings."""

    def apply(command: F) -> F:
        for option in reversed(group):
            command = option(command)
        return command

    return apply


def default_cache() -> Path:
    """`~/.cache/triton-hf`, or its like below XDG_CACHE_HOME."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "triton-hf"
