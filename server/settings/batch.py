"""Settings of SageMaker's batch transform."""

from __future__ import annotations

from typing import Any

import click

from server.settings.kinds import setting

_CONCURRENCY, _STRATEGY, _PAYLOAD = 1, "MULTI_RECORD", 6
"""SageMaker's own defaults, for what is not said where something is."""


class Strategy(click.ParamType[Any]):
    """MULTI_RECORD or SINGLE_RECORD, in that spelling or as MultiRecord."""

    name = "strategy"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        known = {"multirecord": "MULTI_RECORD", "singlerecord": "SINGLE_RECORD"}
        strategy = known.get(str(value).replace("_", "").lower())
        if strategy is None:
            self.fail(f"{value!r} is neither MULTI_RECORD nor SINGLE_RECORD", param, ctx)
        return strategy


BATCH = (
    setting(
        "--batch/--no-batch",
        envvar=["SAGEMAKER_BATCH"],
        default=False,
        help="Serve a batch transform job: several lines of JSON under application/json are a request each.",
    ),
    setting(
        "--mark-bad-lines/--no-mark-bad-lines",
        envvar=["TRITON_HF_MARK_BAD_LINES"],
        default=False,
        help="A line that fails gets an object with `error` in place of its answer, instead of failing its body.",
    ),
    setting(
        "--batch-strategy",
        envvar=["SAGEMAKER_BATCH_STRATEGY"],
        type=Strategy(),
        help="MULTI_RECORD or SINGLE_RECORD, for /execution-parameters.",
    ),
    setting(
        "--max-concurrent-transforms",
        envvar=["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"],
        type=click.IntRange(min=1),
        help="Requests that a batch transform job sends at once, for /execution-parameters; as many may wait.",
    ),
)


def execution_parameters(concurrency: int | None, strategy: str | None, payload_in_mb: int | None) -> dict[str, Any]:
    """What /execution-parameters says, from the settings of the same meaning; empty where none of them is set."""
    if concurrency is None and strategy is None and payload_in_mb is None:
        return {}
    return {
        "MaxConcurrentTransforms": concurrency or _CONCURRENCY,
        "BatchStrategy": strategy or _STRATEGY,
        "MaxPayloadInMB": _PAYLOAD if payload_in_mb is None else payload_in_mb,
    }
