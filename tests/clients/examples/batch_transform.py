"""Transform a file of S3, one request a line, with a model of the Hub: `batch_transform.py ID TASK FILE [SETTINGS]`."""

from __future__ import annotations

import json
import sys

from account import SETTINGS, session, show
from sagemaker.huggingface.model import HuggingFaceModel
from sagemaker.s3 import S3Downloader, S3Uploader, s3_path_join

name, task, file, settings = sys.argv[1:]
bucket = session.default_bucket()
output_s3_path = s3_path_join("s3://", bucket, "batch_transform/output")
input_s3_path = s3_path_join("s3://", bucket, "batch_transform/input")
data = S3Uploader.upload(file, input_s3_path, sagemaker_session=session)

huggingface_model = HuggingFaceModel(env={"HF_MODEL_ID": name, "HF_TASK": task}, **SETTINGS)
batch_job = huggingface_model.transformer(
    instance_count=1,
    instance_type="ml.m5.xlarge",
    output_path=output_s3_path,
    **{"strategy": "SingleRecord", **json.loads(settings)},
)
batch_job.transform(data=data, content_type="application/json", split_type="Line")
written = S3Downloader.list(output_s3_path, sagemaker_session=session)
show({path.rpartition("/")[2]: S3Downloader.read_file(path, session) for path in written})
