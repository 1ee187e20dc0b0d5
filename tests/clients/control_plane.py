"""moto's SageMaker and S3, with the containers that moto does not run.

moto keeps the records of `CreateModel`, `CreateEndpoint` and `CreateTransformJob` and calls them done. Here an
endpoint's record starts a real server with the environment and the model data that the record names, and a job's record
has one answer the lines of its input; both are under way until they are done.
"""

from __future__ import annotations

import io
import json
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sagemaker.models import sagemaker_backends
from werkzeug.serving import make_server

from tests.clients.transform import transform
from tests.serving import Server, free_port

ACCOUNT = "123456789012"
REGION = "eu-central-1"
ROLE = "sagemaker_execution_role"
PATIENCE = 45.0
"""Seconds that a question for a status waits for the next one; clients give up after 60."""


class ControlPlane:
    """One account, and one endpoint at a time, whose runtime's address is known before it is created."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """`env` is what a container finds beside what its model's record says."""
        self.containers: list[Server] = []
        self.jobs: list[dict[str, str]] = []
        """The environment of each transform job's container."""
        self._folder, self._env = folder, env
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._http = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._runtime_port = free_port()
        self._under_way: dict[str, threading.Thread] = {}
        self._endpoints: dict[str, Server] = {}

    @property
    def client_env(self) -> dict[str, str]:
        """What sends every AWS client of a process here, its invocations to the endpoint's own server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": f"http://127.0.0.1:{self._runtime_port}",
            "AWS_ACCESS_KEY_ID": "anyone",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="anyone",
            aws_secret_access_key="anything",
        )

    @contextmanager
    def running(self) -> Iterator[ControlPlane]:
        thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        thread.start()
        try:
            iam = self.client("iam")
            iam.create_role(RoleName=ROLE, Path="/", AssumeRolePolicyDocument="{}")
            iam.close()
            yield self
        finally:
            for container in self.containers:
                container.stop()
            self._http.shutdown()
            thread.join()
            self._http.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """moto's answer; before it or after it, what SageMaker would do besides."""
        action = environ.get("HTTP_X_AMZ_TARGET", "").removeprefix("SageMaker.")
        before = {"DescribeEndpoint": self._wait, "DescribeTransformJob": self._wait}.get(action)
        after = {
            "CreateEndpoint": self._create_endpoint,
            "DeleteEndpoint": self._delete_endpoint,
            "CreateTransformJob": self._create_transform_job,
        }.get(action)
        if not (before or after):
            return self._moto(environ, start_response)
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO(body)
        asked = json.loads(body)
        name = asked.get("EndpointName") or asked["TransformJobName"]
        if before:
            before(name)
        answer = self._moto(environ, start_response)
        if after:
            after(name)
        return answer

    def _wait(self, name: str) -> None:
        if name in self._under_way:
            self._under_way[name].join(PATIENCE)

    def _in_background(self, name: str, work: Callable[[], None]) -> None:
        thread = self._under_way[name] = threading.Thread(target=work, daemon=True)
        thread.start()

    def _create_endpoint(self, name: str) -> None:
        record = sagemaker_backends[ACCOUNT][REGION].endpoints[name]
        record.endpoint_status = "Creating"

        def work() -> None:
            try:
                config = self._ask(
                    "sagemaker", "describe_endpoint_config", EndpointConfigName=record.endpoint_config_name
                )
                [variant] = config["ProductionVariants"]
                self._endpoints[name] = self._start(variant["ModelName"], {}, self._runtime_port)
                self._endpoints[name].wait()
                record.endpoint_status = "InService"
            except Exception as error:
                record.endpoint_status, record.failure_reason = "Failed", str(error)[-1000:]

        self._in_background(name, work)

    def _delete_endpoint(self, name: str) -> None:
        self._endpoints.pop(name).stop()

    def _create_transform_job(self, name: str) -> None:
        record = sagemaker_backends[ACCOUNT][REGION].transform_jobs[name]
        record.transform_job_status = "InProgress"

        def work() -> None:
            try:
                # Not asked for over HTTP: that answer waits for the job's end.
                job = record.response_object
                env = {"SAGEMAKER_BATCH": "true", **_limits(job), **(job.get("Environment") or {})}
                self.jobs.append(env)
                server = self._start(job["ModelName"], env, free_port()).wait()
                transform(job, server, self.client("s3"))
                server.stop()
                record.transform_job_status = "Completed"
            except Exception as error:
                record.transform_job_status, record.failure_reason = "Failed", str(error)[-1000:]

        self._in_background(name, work)

    def _start(self, model: str, env: Mapping[str, str], port: int) -> Server:
        """A server as SageMaker starts a container: the model's data unpacked, the model's environment."""
        container = self._ask("sagemaker", "describe_model", ModelName=model)["PrimaryContainer"]
        base = self._folder / f"container-{len(self.containers)}"
        (base / "model").mkdir(parents=True)
        if container.get("ModelDataUrl"):
            url = urlparse(container["ModelDataUrl"])
            archive = base / "model.tar.gz"
            archive.write_bytes(self._ask("s3", "get_object", Bucket=url.netloc, Key=url.path[1:])["Body"].read())
            subprocess.run(["tar", "xzf", archive, "-C", base / "model"], check=True)
        server = Server(
            log=base / "serve.log",
            env={**self._env, **container.get("Environment", {}), **env, "SAGEMAKER_BASE_DIR": str(base)},
            port=port,
        )
        self.containers.append(server)
        return server

    def _ask(self, service: str, operation: str, **asked: Any) -> Any:
        client = self.client(service)
        try:
            return getattr(client, operation)(**asked)
        finally:
            client.close()


def _limits(job: Mapping[str, Any]) -> dict[str, str]:
    """What the platform tells a container of a job, where the job says it."""
    names = {
        "MaxPayloadInMB": "SAGEMAKER_MAX_PAYLOAD_IN_MB",
        "MaxConcurrentTransforms": "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS",
    }
    told = {variable: str(job[member]) for member, variable in names.items() if job.get(member) is not None}
    if job.get("BatchStrategy"):
        told["SAGEMAKER_BATCH_STRATEGY"] = {"SingleRecord": "SINGLE_RECORD", "MultiRecord": "MULTI_RECORD"}[
            job["BatchStrategy"]
        ]
    return told
