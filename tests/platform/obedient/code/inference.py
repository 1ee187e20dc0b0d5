"""A model that does what its body says, so that a test can have any answer, at any time."""

import json
import os
import time
from pathlib import Path

from mms.service import PredictionException
from sagemaker_inference.errors import BaseInferenceToolkitError


def model_fn(model_dir):
    settings = Path(__file__).with_name("settings.json")
    told = json.loads(settings.read_text()) if settings.exists() else {}
    time.sleep(told.get("load_seconds", 0))
    return {"word": told.get("word"), "held": os.urandom(2**20) * told.get("megabytes", 0)}


def transform_fn(model, body, content_type, accept, context):
    if content_type != "application/json":
        return body, content_type
    order = json.loads(body)
    time.sleep(order.get("sleep", 0))
    for name, value in order.get("headers", {}).items():
        context.set_response_header(0, name, value)
    if order.get("memory_error"):
        raise MemoryError("no more")
    if "raise" in order:
        raise ValueError(order["raise"])
    if "prediction_exception" in order:
        raise PredictionException(*order["prediction_exception"])
    if "toolkit_error" in order:
        raise BaseInferenceToolkitError(*order["toolkit_error"])
    if "type" in order:
        return "text", order["type"]
    return json.dumps(
        {
            "word": model["word"],
            "pid": os.getpid(),
            "accept": accept,
            "content_type": content_type,
            "headers": {name.lower(): value for name, value in context.get_all_request_header(0).items()},
        }
    )
