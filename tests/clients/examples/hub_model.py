"""Deploy a model of the Hub for a task, ask it, and delete it: `hub_model.py ID TASK REQUEST…`."""

from __future__ import annotations

import json
import sys

from account import SETTINGS, show
from sagemaker.huggingface.model import HuggingFaceModel

name, task, *requests = sys.argv[1:]
huggingface_model = HuggingFaceModel(env={"HF_MODEL_ID": name, "HF_TASK": task}, **SETTINGS)
predictor = huggingface_model.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge")
answers = [predictor.predict(json.loads(request)) for request in requests]
predictor.delete_model()
predictor.delete_endpoint()
show(answers)
