"""Settings of where the server listens and what it logs."""

from __future__ import annotations

import click

from server.settings.kinds import LogLevel, PortRange, setting

LISTENING = (
    setting(
        "--host",
        envvar=["TRITON_HF_HOST"],
        default="0.0.0.0",  # noqa: S104
        show_default=True,
        help="Address to listen on.",
    ),
    setting(
        "--port",
        envvar=["SAGEMAKER_BIND_TO_PORT"],
        type=click.IntRange(1, 65535),
        default=8080,
        show_default=True,
        help="Port to listen on.",
    ),
    setting(
        "--port-range",
        envvar=["SAGEMAKER_SAFE_PORT_RANGE"],
        type=PortRange(),
        help="Ports that Triton may use on the loopback address, FIRST-LAST; any free ones if not given.",
    ),
    # On: it lets nobody do what /invocations does not, and inside SageMaker no client reaches it.
    setting(
        "--local-endpoint/--no-local-endpoint",
        envvar=["TRITON_HF_LOCAL_ENDPOINT"],
        default=True,
        help="Also answer /endpoints/NAME/invocations as SageMaker's runtime API does, for boto3 and the SageMaker "
        "SDK.",
    ),
    setting(
        "--log-level",
        envvar=["SAGEMAKER_CONTAINER_LOG_LEVEL"],
        type=LogLevel(),
        default="info",
        show_default=True,
        help="debug shows Triton's own lines too.",
    ),
)
