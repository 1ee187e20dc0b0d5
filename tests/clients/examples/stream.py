"""Deploy a text generation model of the Hub and print its events as they come: `stream.py ID REQUEST`."""

from __future__ import annotations

import json
import sys

from account import SETTINGS, show
from sagemaker.huggingface.model import HuggingFaceModel
from sagemaker.iterators import LineIterator

name, request = sys.argv[1:]
huggingface_model = HuggingFaceModel(env={"HF_MODEL_ID": name, "HF_TASK": "text-generation"}, **SETTINGS)
predictor = huggingface_model.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge")
lines = predictor.predict_stream(json.loads(request), iterator=LineIterator)
show([line.decode() for line in lines if line])
predictor.delete_endpoint()
