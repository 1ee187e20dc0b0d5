"""Everything that scripts import from the toolkit, used."""

import json
from io import BytesIO

import numpy as np
from mms.service import PredictionException
from sagemaker_huggingface_inference_toolkit import content_types as hf_content_types
from sagemaker_huggingface_inference_toolkit import decoder_encoder
from sagemaker_huggingface_inference_toolkit.decoder_encoder import decode_json, encode_json
from sagemaker_inference import content_types, decoder, encoder, environment, errors, utils
from sagemaker_inference.decoder import _npy_to_numpy


def model_fn(model_dir):
    assert environment.Environment().module_name == "inference"
    assert utils.parse_accept("text/csv, application/json") == ["text/csv", "application/json"]
    assert utils.retrieve_content_type_header({"Content-Type": "text/csv"}) == "text/csv"
    assert issubclass(errors.UnsupportedFormatError, Exception)
    assert issubclass(PredictionException, Exception)
    return {
        "json": content_types.JSON == hf_content_types.JSON == "application/json",
        "utf8": sorted(content_types.UTF8_TYPES),
        "types": [
            content_types.NPY,
            content_types.NPZ,
            content_types.ANY,
            content_types.OCTET_STREAM,
            hf_content_types.PNG,
            hf_content_types.X_IMAGE,
            hf_content_types.FLAC,
            hf_content_types.X_AUDIO,
        ],
    }


def input_fn(input_data, content_type):
    if content_type in (hf_content_types.JSON, hf_content_types.PNG):
        return decoder_encoder.decode(input_data, content_type)
    if content_type == content_types.NPY:
        return {"inputs": _npy_to_numpy(input_data)}
    return {"inputs": decoder.decode(input_data, content_type)}


def predict_fn(data, model):
    inputs = data["inputs"]
    if isinstance(inputs, str):
        text = encode_json({"inputs": inputs, "scalar": np.float64(0.5)})
        return {"model": model, "again": decode_json(text), "json": encoder.encode([1, 2], content_types.JSON)}
    if isinstance(inputs, np.ndarray):
        buffer = BytesIO(encoder.encode(inputs, content_types.NPY))
        return {"shape": inputs.shape, "sum": np.load(buffer).sum(), "csv": encoder.encode(inputs, content_types.CSV)}
    return {"size": getattr(inputs, "size", None) or len(inputs)}


def output_fn(prediction, accept):
    if accept == content_types.CSV:
        return json.dumps(sorted(prediction))
    return decoder_encoder.encode(prediction, accept)
