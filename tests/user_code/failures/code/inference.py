"""Every way to say no, by what the input asks for."""

import json

from mms.service import PredictionException
from sagemaker_inference.errors import BaseInferenceToolkitError, GenericInferenceToolkitError, UnsupportedFormatError


def model_fn(model_dir):
    return None


def input_fn(input_data, content_type):
    data = json.loads(input_data)
    if data["inputs"] == "input":
        raise PredictionException("nothing to read", 422)
    return data


def predict_fn(data, model):
    kind = data["inputs"]
    if kind == "value":
        raise ValueError("a value that nobody can use")
    if kind == "key":
        return data["missing"]
    if kind == "type":
        return kind + 1
    if kind == "assert":
        assert kind == "tea", "only tea is served"
    if kind == "busy":
        raise PredictionException("busy", 503)
    if kind == "no code":
        raise PredictionException("something is wrong")
    if kind == "quota":
        raise BaseInferenceToolkitError(429, "too many cups", "Too Many Requests")
    if kind == "generic":
        raise GenericInferenceToolkitError(409, "cup in use")
    if kind == "format":
        raise UnsupportedFormatError("application/tea")
    if kind == "chained":
        try:
            return 1 / 0
        except ZeroDivisionError as error:
            raise RuntimeError("no division today") from error
    if kind == "empty":
        raise Exception
    if kind == "long":
        raise ValueError("tea " * 2000)
    if kind == "lines":
        raise ValueError("the first line\nthe second line")
    return {"served": kind}
