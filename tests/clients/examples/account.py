"""What every example begins with: the role, the session, the versions.

`sagemaker.get_execution_role()` and the name of the default bucket are not among it: for both the SDK asks STS at AWS's
own address, whatever the endpoint variables say. So the role is looked up and the bucket is named.
"""

from __future__ import annotations

import json
from typing import Any

import boto3
import sagemaker


class Session(sagemaker.Session):
    """The SDK's own, which sleeps half a minute before it first asks whether an endpoint is there."""

    def wait_for_endpoint(self, endpoint: str, poll: int = 1, live_logging: bool = False) -> Any:
        return super().wait_for_endpoint(endpoint, poll, live_logging)

    def logs_for_transform_job(self, job_name: str, wait: bool = False, poll: int = 1) -> None:
        super().logs_for_transform_job(job_name, wait, poll)


session = Session(default_bucket="sagemaker-examples")

SETTINGS: dict[str, Any] = {
    "role": boto3.client("iam").get_role(RoleName="sagemaker_execution_role")["Role"]["Arn"],
    "sagemaker_session": session,
    "transformers_version": "4.49.0",
    "pytorch_version": "2.6.0",
    "py_version": "py312",
}


def show(value: Any) -> None:
    """Print JSON on a line of its own; the SDK leaves its dots without an end."""
    print(f"\n{json.dumps(value)}")
