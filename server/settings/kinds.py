"""What a setting is: an option of click, and the kinds of values that click has not."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from server.triton.arguments import conflict

F = TypeVar("F", bound="Callable[..., Any] | click.Command")
Group = tuple[Callable[[Any], Any], ...]


class Setting(click.Option):
    """An option whose errors name the variable that the value came from."""

    def get_error_hint(self, ctx: click.Context | None) -> str:
        hint = super().get_error_hint(ctx)
        if ctx is None or ctx.get_parameter_source(self.name or "") is not ParameterSource.ENVIRONMENT:
            return hint
        return next((name for name in self.envvar or () if os.environ.get(name)), hint)


setting = partial(click.option, cls=Setting)


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


class Verbosity(click.ParamType[Any]):
    """Triton's verbose level: a number, or true and false."""

    name = "level"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        level = {"true": "1", "false": "0"}.get(str(value).lower(), str(value))
        if not level.isdigit():
            self.fail(f"{value!r} is neither a level like 1 nor true or false", param, ctx)
        return int(level)


class TritonArguments(click.ParamType[Any]):
    """A command line for tritonserver, split as a shell would; what would undo ours is refused."""

    name = "arguments"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        try:
            words = tuple(shlex.split(str(value)))
        except ValueError as error:
            self.fail(f"{value!r} cannot be split into arguments: {error}", param, ctx)
        problem = conflict(words)
        if problem is not None:
            self.fail(problem, param, ctx)
        return words


def options(group: Group) -> Callable[[F], F]:
    """Give a command a group of settings."""

    def apply(command: F) -> F:
        for option in reversed(group):
            command = option(command)
        return command

    return apply
