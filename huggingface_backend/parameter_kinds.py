"""Kinds of values in a request's parameters, each in words and as a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

FORBIDDEN = frozenset({"chat_template", "custom_generate", "trust_remote_code"})
"""Keywords by which a request would bring code: from a place that `generate` is told of, or as a template."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a value must be; null counts as not given."""

    words: str
    fits: Callable[[Any], bool]
    whole: bool = False
    """A whole number, which a client may have written as 5.0."""
    null: bool = False
    """Null means something else than leaving the parameter out, and is handed on."""
    inner: Mapping[str, Kind] | None = None
    """Of an object, all that may be in it."""


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_template(value: object) -> bool:
    """Whether `format` puts a label in as it is: widths could ask for gigabytes, and names reach into objects."""
    try:
        fields = (
            [field[1:] for field in Formatter().parse(value) if field[1] is not None] if isinstance(value, str) else []
        )
    except ValueError:
        return False
    return bool(fields) and set(fields) <= {("", "", None), ("0", "", None)}


def _is_list_of(fits: Callable[[Any], bool], value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(fits, value))


def whole(least: int | None = None) -> Kind:
    if least is None:
        return Kind("a whole number", _is_whole, whole=True)
    return Kind(f"a whole number of at least {least}", lambda value: _is_whole(value) and value >= least, whole=True)


def between(least: int, most: int) -> Kind:
    return Kind(
        f"a whole number from {least} to {most}", lambda value: _is_whole(value) and least <= value <= most, whole=True
    )


def multiple(of: int) -> Kind:
    return Kind(f"a multiple of {of}", lambda value: _is_whole(value) and value > 0 and value % of == 0, whole=True)


def one_of(*values: object, any_case: bool = False) -> Kind:
    names = ["true" if value is True else "false" if value is False else str(value) for value in values]

    def fits(value: object) -> bool:
        given = value.lower() if any_case and isinstance(value, str) else value
        # 1 is equal to True.
        return any(given == known and type(given) is type(known) for known in values)

    return Kind(f"one of {', '.join(names)}", fits)


def either(first: Kind, second: Kind) -> Kind:
    return Kind(f"{first.words} or {second.words}", lambda value: first.fits(value) or second.fits(value))


def several(kind: Kind, words: str) -> Kind:
    return Kind(f"a list of {words}", lambda value: _is_list_of(kind.fits, value))


def object_of(inner: Mapping[str, Kind]) -> Kind:
    return Kind("an object", lambda value: isinstance(value, dict), inner=inner)


def or_null(kind: Kind) -> Kind:
    return Kind(f"{kind.words}, or null", kind.fits, whole=kind.whole, null=True)


ANY = Kind("anything", lambda _value: True)
FLAG = Kind("true or false", lambda value: isinstance(value, bool))
NUMBER = Kind("a number", _is_number)
TEXT = Kind("a text", lambda value: isinstance(value, str))
OBJECT = Kind(
    f"an object, without {' and '.join(sorted(FORBIDDEN))}",
    lambda value: isinstance(value, dict) and not FORBIDDEN & set(value),
)
"""Whose names the model or its template knows."""
TEXTS = either(TEXT, several(TEXT, "texts"))
TOKEN_IDS = several(whole(), "token ids")
LABELS = Kind(
    "a text with commas between the labels, or a list of at least one label",
    lambda value: (isinstance(value, str) and bool(value.strip(", "))) or (isinstance(value, list) and bool(value)),
)
LABEL_LIST = Kind("a list of at least one label", lambda value: isinstance(value, list) and bool(value))
"""Where a text would be taken for a list of its letters."""
TEMPLATE = Kind("a text with {} where the label goes, and no other braces", _is_template)
PADDING = one_of(True, False, "longest", "max_length", "do_not_pad")
TRUNCATION = one_of(True, False, "longest_first", "only_first", "only_second", "do_not_truncate")
FUNCTION = one_of("softmax", "sigmoid", "none")
TEMPERATURE = either(NUMBER, several(NUMBER, "numbers"))
"""Whisper tries several, one after the other."""
