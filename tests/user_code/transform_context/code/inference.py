"""transform_fn with the context: one function from the body to the answer."""

import json

from mms.service import PredictionException
from sagemaker_inference import content_types, decoder, encoder


def model_fn(model_dir):
    return {"offset": 1}


def transform_fn(model, input_data, content_type, accept, context):
    if content_type == content_types.NPY:
        array = decoder.decode(input_data, content_type)
        return encoder.encode(array + model["offset"], accept)
    if content_type != content_types.JSON:
        raise PredictionException(f"cannot read {content_type}", 415)
    data = json.loads(input_data)
    context.set_response_header(0, "X-Count", str(len(data)))
    if accept == "application/x-lines":
        return "\n".join(str(value + model["offset"]) for value in data).encode()
    if accept == "application/x-pair":
        return json.dumps(data), "text/plain"
    return json.dumps({"answer": [value + model["offset"] for value in data]})
