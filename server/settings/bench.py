"""Settings of `triton-hf bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class Numbers(click.ParamType[Any]):
    """Positive numbers with commas between them, ascending and each once."""

    name = "numbers"

    def __init__(self, kind: type[int] | type[float]) -> None:
        self._kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        try:
            found = tuple(sorted({self._kind(part) for part in str(value).split(",") if part.strip()}))
        except ValueError:
            found = ()
        if not found or found[0] <= 0:
            self.fail(f"{value!r} is not a list of numbers above 0 like 1,8,32", param, ctx)
        return found


BENCH = (
    click.option(
        "--texts",
        type=click.Path(dir_okay=False, exists=True, path_type=Path),
        help="Your own requests: each line of a .jsonl file is a body, each line of another file a text. A few "
        "built-in ones if not given.",
    ),
    click.option(
        "--clients",
        type=Numbers(int),
        default="1,8,32,128",
        show_default=True,
        help="Clients that each wait for their answer, measured one count after the other; --tune goes up to the last "
        "in doublings.",
    ),
    click.option(
        "--rate",
        type=Numbers(float),
        help="Also requests a second that arrive at random moments, whether earlier ones are answered or not.",
    ),
    click.option(
        "--seconds",
        type=click.FloatRange(min=0, min_open=True),
        show_default="10; 3 with --tune",
        help="Of each measurement, after a warm-up of a fifth of that.",
    ),
    click.option(
        "--rounds",
        type=click.IntRange(min=1),
        default=3,
        show_default=True,
        help="How often everything is measured, in turn; the report has the median and the range. With --tune: of the "
        "comparison at its end.",
    ),
    click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default="bench",
        show_default=True,
        help="Folder for report.json and report.html. --tune writes tuning.json and tuning.html into the entry.",
    ),
    click.option(
        "--tune",
        metavar="SOURCE",
        help="Instead of loading an endpoint: find the token budget, lanes, threads and instances that answer the most "
        "requests within --p99, and write them into the entry. Needs --p99 and --texts.",
    ),
    click.option(
        "--p99",
        type=click.FloatRange(min=0, min_open=True),
        help="Milliseconds that 99 of 100 requests may take, for --tune.",
    ),
    click.option(
        "--minutes",
        type=click.FloatRange(min=0, min_open=True),
        default=10.0,
        show_default=True,
        help="Time for --tune; what was not tried by then is left out.",
    ),
)

_SECONDS, _TUNING_SECONDS = 10.0, 3.0


def seconds(given: float | None, *, tuning: bool) -> float:
    """Of a measurement, from the setting of that name."""
    return (_TUNING_SECONDS if tuning else _SECONDS) if given is None else given
