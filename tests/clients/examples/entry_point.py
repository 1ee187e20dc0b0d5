"""Have the SDK put a script of this machine beside a model in S3: `entry_point.py FILE FOLDER REQUEST…`.

The predictor sends and takes what its serializers make of it, here text and CSV.
"""

from __future__ import annotations

import sys

from account import SETTINGS, session, show
from sagemaker.deserializers import CSVDeserializer
from sagemaker.huggingface.model import HuggingFaceModel
from sagemaker.predictor import Predictor
from sagemaker.s3 import S3Uploader
from sagemaker.serializers import SimpleBaseSerializer

archive, source_dir, *texts = sys.argv[1:]


class Plain(SimpleBaseSerializer):
    """A text as it is."""

    def serialize(self, data: str) -> str:
        return data


model_data = S3Uploader.upload(archive, f"s3://{session.default_bucket()}/plain", sagemaker_session=session)
huggingface_model = HuggingFaceModel(
    model_data=model_data, entry_point="inference.py", source_dir=source_dir, **SETTINGS
)
deployed = huggingface_model.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge")
predictor = Predictor(
    deployed.endpoint_name, session, serializer=Plain("text/plain"), deserializer=CSVDeserializer(accept="text/csv")
)
show([predictor.predict(text, custom_attributes="from=the example") for text in texts])
predictor.delete_endpoint()
