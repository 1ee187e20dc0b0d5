"""What SageMaker's batch transform does with a job: records out of S3, a request for each, the answers into S3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlparse

import httpx

from tests.serving import Server

MIB = 2**20
DEFAULT_PAYLOAD = 6
"""MiB of a request where a job does not say how many."""


def transform(job: Mapping[str, Any], server: Server, s3: Any) -> None:
    """Do a job as `DescribeTransformJob` tells it. AssertionError where the container refuses a request."""
    source = urlparse(job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"])
    target = urlparse(job["TransformOutput"]["S3OutputPath"])
    prefix = source.path[1:]
    for found in s3.list_objects_v2(Bucket=source.netloc, Prefix=prefix)["Contents"]:
        key = found["Key"]
        content = s3.get_object(Bucket=source.netloc, Key=key)["Body"].read()
        answers = [_ask(job, server, body) for body in _requests(job, content)]
        # After every record, and without one at all where nothing is said.
        end = b"\n" if job["TransformOutput"].get("AssembleWith") == "Line" else b""
        name = key.removeprefix(prefix).lstrip("/") or key.rpartition("/")[2]
        s3.put_object(
            Bucket=target.netloc,
            Key=f"{target.path.strip('/')}/{name}.out",
            Body=b"".join(answer + end for answer in answers),
        )


def _requests(job: Mapping[str, Any], content: bytes) -> Iterator[bytes]:
    """Bodies: the whole object, a line, or as many lines as a request may carry."""
    if job["TransformInput"].get("SplitType", "None") == "None":
        yield content
        return
    lines = [line for line in content.split(b"\n") if line]
    if job.get("BatchStrategy") == "SingleRecord":
        yield from lines
        return
    limit = (job.get("MaxPayloadInMB") or DEFAULT_PAYLOAD) * MIB
    body = b""
    for line in lines:
        if body and len(body) + len(line) + 1 > limit:
            yield body
            body = b""
        body += line + b"\n"
    if body:
        yield body


def _ask(job: Mapping[str, Any], server: Server, body: bytes) -> bytes:
    headers = {"content-type": job["TransformInput"].get("ContentType", "application/octet-stream")}
    if job["TransformOutput"].get("Accept"):
        headers["accept"] = job["TransformOutput"]["Accept"]
    answer = httpx.post(f"{server.url}/invocations", content=body, headers=headers, timeout=60)
    assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
    return answer.content
