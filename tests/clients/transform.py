"""A batch transform job out of the records of the control plane: objects out of S3, through a server, into S3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlparse

from tests.platform.simulator import Transform
from tests.serving import Server


def transform(job: Mapping[str, Any], server: Server, s3: Any) -> None:
    """Do a job as `DescribeTransformJob` tells it. AssertionError where the container refuses a request."""
    given, wanted = job["TransformInput"], job["TransformOutput"]
    source, target = urlparse(given["DataSource"]["S3DataSource"]["S3Uri"]), urlparse(wanted["S3OutputPath"])
    prefix = source.path[1:]
    objects = {
        found["Key"]: s3.get_object(Bucket=source.netloc, Key=found["Key"])["Body"].read()
        for found in s3.list_objects_v2(Bucket=source.netloc, Prefix=prefix)["Contents"]
    }
    done = Transform(
        content_type=given.get("ContentType", "application/octet-stream"),
        accept=wanted.get("Accept", ""),
        split=given.get("SplitType", "None"),
        assemble=wanted.get("AssembleWith", "None"),
        strategy=job.get("BatchStrategy"),
        max_payload_mb=job.get("MaxPayloadInMB"),
        max_concurrent=job.get("MaxConcurrentTransforms"),
    ).run(server, objects)
    assert not done.failed, done.failed
    for key, output in done.outputs.items():
        name = key.removeprefix(prefix).lstrip("/") or key.rpartition("/")[2]
        s3.put_object(Bucket=target.netloc, Key=f"{target.path.strip('/')}/{name}.out", Body=output)
