"""The calls that docs/deploy.md shows are calls that AWS's own description of its interface allows."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import pytest
from botocore.model import Shape
from botocore.validate import ParamValidator

PAGE = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text("utf-8")
BLOCKS = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "from sagemaker" not in block]


def check(value: Any, shape: Shape, where: str) -> None:
    """Choices and ranges, which botocore leaves to the service."""
    match shape.type_name:
        case "structure":
            for name, member in value.items():
                check(member, shape.members[name], f"{where}.{name}")
        case "list":
            for member in value:
                check(member, shape.member, where)
        case "string":
            assert not shape.enum or value in shape.enum, f"{where}: {value}"
        case "integer":
            limits = shape.metadata
            assert limits.get("min", value) <= value <= limits.get("max", value), f"{where}: {value}"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []

    def call(client: botocore.client.BaseClient, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        shape = client.meta.service_model.operation_model(name).input_shape
        report = ParamValidator().validate(parameters, shape)
        assert not report.has_errors(), f"{name}: {report.generate_report()}"
        check(parameters, shape, name)
        made.append(name)
        return {"EndpointStatus": "InService", "Body": io.BytesIO(b"[]")}

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
    for name, value in {"DEFAULT_REGION": "eu-west-1", "ACCESS_KEY_ID": "none", "SECRET_ACCESS_KEY": "none"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    return made


def test_the_page_calls_as_aws_describes_it(calls: list[str]) -> None:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block, names)
    assert {
        "CreateModel",
        "CreateEndpointConfig",
        "CreateEndpoint",
        "CreateTransformJob",
        "InvokeEndpoint",
        "InvokeEndpointAsync",
    } <= set(calls)


def test_a_choice_that_does_not_exist_would_be_found(calls: list[str]) -> None:
    with pytest.raises(AssertionError, match="BatchStrategy"):
        boto3.client("sagemaker").create_transform_job(
            TransformJobName="a",
            ModelName="a",
            BatchStrategy="Both",
            TransformInput={"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://a/"}}},
            TransformOutput={"S3OutputPath": "s3://a/"},
            TransformResources={"InstanceType": "ml.c7i.xlarge", "InstanceCount": 1},
        )
