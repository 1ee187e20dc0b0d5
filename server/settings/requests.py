"""Settings of what a request may be and how long it may take."""

from __future__ import annotations

import click

from server.settings.kinds import setting

REQUESTS = (
    setting(
        "--timeout",
        envvar=["SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "SAGEMAKER_MODEL_SERVER_TIMEOUT"],
        type=click.FloatRange(min=0, min_open=True),
        show_default="60; 3600 with --batch",
        help="Seconds until a request without an answer gets 504.",
    ),
    setting(
        "--queue-size",
        envvar=["MMS_JOB_QUEUE_SIZE"],
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        help="Requests of a model that may wait beside those of one full batch; further ones get 503.",
    ),
    setting(
        "--max-payload-in-mb",
        envvar=["SAGEMAKER_MAX_PAYLOAD_IN_MB"],
        type=click.IntRange(min=0),
        show_default="100",
        help="Larger bodies get 413; 0 allows up to 1 GB.",
    ),
    setting(
        "--max-request-size",
        envvar=["SAGEMAKER_MAX_REQUEST_SIZE", "MMS_MAX_REQUEST_SIZE", "TS_MAX_REQUEST_SIZE"],
        type=click.IntRange(min=1),
        help="The same in bytes, where --max-payload-in-mb is not given.",
    ),
    setting(
        "--default-accept",
        envvar=["SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"],
        default="application/json",
        show_default=True,
        help="Media type of the answer for clients whose Accept is missing or */*.",
    ),
    setting(
        "--follow-references/--no-follow-references",
        envvar=["TRITON_HF_FOLLOW_REFERENCES"],
        default=False,
        help="Let pipelines open URLs and file paths that stand in requests in place of an image, audio or video.",
    ),
)

MIB = 2**20
DEFAULT_MIB, UNBOUNDED_MIB = 100, 1024
TIMEOUT, BATCH_TIMEOUT = 60.0, 3600.0
"""Seconds. A batch transform job has what SageMaker gives a request at most; its own limit may be less."""


def max_body(payload_in_mb: int | None, request_size: int | None) -> int:
    """The cap of a body in bytes, from the settings of the same names."""
    if payload_in_mb is None and request_size is not None:
        return request_size
    return (DEFAULT_MIB if payload_in_mb is None else payload_in_mb or UNBOUNDED_MIB) * MIB


def timeout(seconds: float | None, *, batch: bool) -> float:
    """The deadline of a request in seconds, from the settings of the same names."""
    return (BATCH_TIMEOUT if batch else TIMEOUT) if seconds is None else seconds
