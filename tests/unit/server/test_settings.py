"""The environment of a container, read as its platform, its toolkits and its servers mean it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from server import reference, settings
from server.cli import cli
from server.settings.origins import origin
from server.triton.arguments import TritonOptions, conflict

WANTED = """
HF_MODEL_ID HF_MODEL_REVISION HF_TASK HF_API_TOKEN HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_HUB_TOKEN HF_TRUST_REMOTE_CODE
HF_MODEL_DIR HF_REVISION HF_OPTIMUM_BATCH_SIZE HF_OPTIMUM_SEQUENCE_LENGTH
SAGEMAKER_PROGRAM SAGEMAKER_SUBMIT_DIRECTORY SAGEMAKER_BASE_DIR
SAGEMAKER_MODEL_SERVER_WORKERS SAGEMAKER_NUM_MODEL_WORKERS MMS_DEFAULT_WORKERS_PER_MODEL
SAGEMAKER_MODEL_SERVER_TIMEOUT SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS SAGEMAKER_STARTUP_TIMEOUT
SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT
SAGEMAKER_MAX_PAYLOAD_IN_MB MMS_MAX_REQUEST_SIZE TS_MAX_REQUEST_SIZE SAGEMAKER_MAX_REQUEST_SIZE
MMS_JOB_QUEUE_SIZE SAGEMAKER_TS_BATCH_SIZE SAGEMAKER_TS_MAX_BATCH_DELAY SAGEMAKER_CONTAINER_LOG_LEVEL
SAGEMAKER_BIND_TO_PORT SAGEMAKER_SAFE_PORT_RANGE
SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE SAGEMAKER_TRITON_SHM_GROWTH_BYTE_SIZE SAGEMAKER_TRITON_LOG_VERBOSE
SAGEMAKER_TRITON_ADDITIONAL_ARGS
""".split()  # noqa: SIM905
"""What containers of SageMaker are configured with, by its own documentation and that of their servers."""

PAGE = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text("utf-8")
VARIABLES = sorted(
    {name for _, _, group in reference.GROUPS for option in reference.parameters(group) for name in option.envvar or ()}
)


def given(env: dict[str, str], *arguments: str) -> dict[str, Any]:
    """What `serve` would get."""
    found: dict[str, Any] = {}

    @click.command()
    @settings.options(settings.CONVERSION)
    @settings.options(settings.SERVING)
    def command(**values: Any) -> None:
        found.update(values)

    ended = CliRunner(env=env).invoke(command, arguments)
    assert ended.exit_code == 0, ended.output
    return found


def refused(env: dict[str, str], *arguments: str) -> str:
    """The line that `serve` ends with, and exit code 2."""
    ended = CliRunner(env=env).invoke(cli, ["serve", "nothing", *arguments])
    assert ended.exit_code == 2, ended.output
    return ended.output.strip().splitlines()[-1]


@pytest.mark.parametrize("variable", WANTED)
def test_every_variable_of_the_contract_is_a_setting(variable: str) -> None:
    assert variable in VARIABLES


@pytest.mark.parametrize("variable", VARIABLES)
def test_every_variable_is_documented_with_its_origin(variable: str) -> None:
    assert re.search(rf"^\| `{variable}` \| {re.escape(origin(variable))} \| `--", PAGE, re.MULTILINE)


@pytest.mark.parametrize(
    ("variable", "who"),
    [
        ("HF_MODEL_ID", "Hugging Face toolkit"),
        ("HF_MODEL_DIR", "newer Hugging Face toolkit"),
        ("MMS_JOB_QUEUE_SIZE", "multi-model-server"),
        ("TS_MAX_REQUEST_SIZE", "TorchServe"),
        ("SAGEMAKER_TRITON_LOG_VERBOSE", "Triton's SageMaker image"),
        ("SAGEMAKER_BIND_TO_PORT", "SageMaker"),
        ("TRITON_HF_CACHE", "triton-hf"),
    ],
)
def test_origins(variable: str, who: str) -> None:
    assert origin(variable) == who


def test_a_variable_of_nobody_has_no_origin() -> None:
    with pytest.raises(KeyError):
        origin("NOBODYS_VARIABLE")


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("HF_MODEL_DIR", "/models/a", "model_dir", Path("/models/a")),
        ("HF_TRUST_REMOTE_CODE", "True", "trust_remote_code", True),
        ("HF_OPTIMUM_BATCH_SIZE", "4", "rows_per_run", 4),
        ("HF_OPTIMUM_SEQUENCE_LENGTH", "128", "sequence_length", 128),
        ("SAGEMAKER_NUM_MODEL_WORKERS", "3", "instances", 3),
        ("SAGEMAKER_TS_BATCH_SIZE", "8", "preferred_batch_size", 8),
        ("SAGEMAKER_TS_MAX_BATCH_DELAY", "100", "max_batch_delay", 100.0),
        ("SAGEMAKER_CONTAINER_LOG_LEVEL", "20", "log_level", "INFO"),
        ("SAGEMAKER_SAFE_PORT_RANGE", "9000-9999", "port_range", range(9000, 10000)),
        ("SAGEMAKER_TRITON_LOG_VERBOSE", "2", "triton_log_verbose", 2),
        ("SAGEMAKER_TRITON_LOG_VERBOSE", "true", "triton_log_verbose", 1),
        ("SAGEMAKER_TRITON_LOG_VERBOSE", "False", "triton_log_verbose", 0),
        (
            "SAGEMAKER_TRITON_ADDITIONAL_ARGS",
            "--id='a b' --log-info 1",
            "triton_arguments",
            ("--id=a b", "--log-info", "1"),
        ),
        ("SAGEMAKER_TRITON_ADDITIONAL_ARGS", "", "triton_arguments", ()),
    ],
)
def test_values(variable: str, value: str, name: str, expected: Any) -> None:
    assert given({variable: value})[name] == expected


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HF_TRUST_REMOTE_CODE", "perhaps"),
        ("HF_OPTIMUM_BATCH_SIZE", "0"),
        ("HF_OPTIMUM_SEQUENCE_LENGTH", "long"),
        ("SAGEMAKER_BIND_TO_PORT", "http"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "0"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "a minute"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "6.5"),
        ("TS_MAX_REQUEST_SIZE", "0"),
        ("SAGEMAKER_TS_BATCH_SIZE", "0"),
        ("SAGEMAKER_TS_MAX_BATCH_DELAY", "-1"),
        ("SAGEMAKER_SAFE_PORT_RANGE", "9000"),
        ("SAGEMAKER_CONTAINER_LOG_LEVEL", "loud"),
        ("SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE", "1000"),
        ("SAGEMAKER_TRITON_SHM_GROWTH_BYTE_SIZE", "1MB"),
        ("SAGEMAKER_TRITON_LOG_VERBOSE", "very"),
        ("SAGEMAKER_TRITON_ADDITIONAL_ARGS", "--id='a"),
        ("SAGEMAKER_TRITON_ADDITIONAL_ARGS", "--grpc-address=0.0.0.0"),
    ],
)
def test_a_wrong_value_is_a_line_that_names_the_variable(variable: str, value: str) -> None:
    assert refused({variable: value}).startswith(f"Error: Invalid value for {variable}: ")


def test_of_two_variables_the_one_that_was_read_is_named() -> None:
    assert "MMS_MAX_REQUEST_SIZE" in refused({"MMS_MAX_REQUEST_SIZE": "big", "TS_MAX_REQUEST_SIZE": "5"})
    assert "'--max-request-size'" in refused({"TS_MAX_REQUEST_SIZE": "5"}, "--max-request-size", "big")


MIB = 2**20


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, 100 * MIB),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "6"}, 6 * MIB),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}, 1024 * MIB),
        ({"MMS_MAX_REQUEST_SIZE": "6553500"}, 6553500),
        ({"TS_MAX_REQUEST_SIZE": "7000000"}, 7000000),
        ({"SAGEMAKER_MAX_REQUEST_SIZE": "1", "MMS_MAX_REQUEST_SIZE": "2", "TS_MAX_REQUEST_SIZE": "3"}, 1),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "6", "MMS_MAX_REQUEST_SIZE": "6553500"}, 6 * MIB),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "", "MMS_MAX_REQUEST_SIZE": "6553500"}, 6553500),
    ],
)
def test_the_cap_of_a_request(env: dict[str, str], expected: int) -> None:
    values = given(env)
    assert settings.max_body(values["max_payload_in_mb"], values["max_request_size"]) == expected


def test_tritons_command_line() -> None:
    options = settings.triton_options(
        given(
            {
                "SAGEMAKER_TRITON_SHM_DEFAULT_BYTE_SIZE": "4194304",
                "SAGEMAKER_TRITON_SHM_GROWTH_BYTE_SIZE": "65536",
                "SAGEMAKER_TRITON_LOG_VERBOSE": "1",
                "SAGEMAKER_TRITON_ADDITIONAL_ARGS": "--id=shop",
            }
        )
    )
    assert options.arguments() == [
        "--backend-config=python,shm-default-byte-size=4194304",
        "--backend-config=python,shm-growth-byte-size=65536",
        "--log-verbose=1",
        "--id=shop",
    ]
    assert options.instance_bytes == 4194304 + 65536
    assert settings.triton_options(given({})) == TritonOptions()


@pytest.mark.parametrize(
    "line",
    [
        "--http-port=8000",
        "--allow-http true",
        "--allow-htt=true",
        "--grpc-address 0.0.0.0",
        "--metrics-add=0.0.0.0",
        "--id=a --allow-vertex-ai=true",
        "--model-repository=/models",
        "--model-store /models",
        "--load-model=*",
        "--exit-timeout-secs=1",
        "--backend-config=python,shm-default-byte-size=1",
        "--backend-config python,shm-region-prefix-name=x",
        "--backend-con=python,shm-growth-byte-size=1",
        "--help",
        "-h",
    ],
)
def test_what_would_undo_the_servers_own_arguments_is_refused(line: str) -> None:
    assert "is not for you to set" in (conflict(line.split()) or "")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--id=a",
        "--log-format=ISO8601 --metrics-interval-ms 500",
        "--backend-config=python,stub-timeout-seconds=60",
        "--allow-gpu-metrics=true",
        "--model-load-thread-count=2 --exit-on-error=false",
        "--trace-config mode=opentelemetry",
    ],
)
def test_other_arguments_pass(line: str) -> None:
    assert conflict(line.split()) is None
