"""Upload a model.tar.gz with a script in its code/, deploy it, and ask it: `archive.py FILE REQUEST…`."""

from __future__ import annotations

import json
import sys

from account import SETTINGS, session, show
from sagemaker.huggingface.model import HuggingFaceModel
from sagemaker.s3 import S3Uploader

archive, *requests = sys.argv[1:]
model_data = S3Uploader.upload(archive, f"s3://{session.default_bucket()}/custom", sagemaker_session=session)
huggingface_model = HuggingFaceModel(model_data=model_data, **SETTINGS)
predictor = huggingface_model.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge")
show([predictor.predict(json.loads(request)) for request in requests])
predictor.delete_endpoint()
