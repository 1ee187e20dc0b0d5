"""Checks of a request's parameters; null counts as not given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

from huggingface_backend.errors import InvalidInput, describe
from huggingface_backend.tokenization import TokenizeOptions


@overload
def flag(parameters: Mapping[str, Any], name: str, default: bool) -> bool: ...


@overload
def flag(parameters: Mapping[str, Any], name: str, default: None) -> bool | None: ...


def flag(parameters: Mapping[str, Any], name: str, default: bool | None) -> bool | None:
    """A boolean."""
    value = parameters.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} must be true or false, not {describe(value)}")
    return value


@overload
def whole(parameters: Mapping[str, Any], name: str, default: int, *, least: int) -> int: ...


@overload
def whole(parameters: Mapping[str, Any], name: str, default: None, *, least: int) -> int | None: ...


def whole(parameters: Mapping[str, Any], name: str, default: int | None, *, least: int) -> int | None:
    """A whole number of at least `least`."""
    value = parameters.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{name} must be a whole number, not {describe(value)}")
    if not least <= value < 2**31:
        raise InvalidInput(f"{name} must be at least {least}, not {value}")
    return value


def tokenizing(parameters: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object of the parameters that `TokenizeOptions` knows."""
    given = parameters.get(name) or {}
    if not isinstance(given, dict):
        raise InvalidInput(f"{name} must be an object, not {describe(given)}")
    unknown = sorted(set(given) - set(TokenizeOptions.PARAMETERS))
    if unknown:
        names = ", ".join(TokenizeOptions.PARAMETERS)
        raise InvalidInput(f"{name} takes {names}; not {', '.join(map(repr, unknown))}")
    return given
