"""input_fn and output_fn around the default prediction, which stays batched."""

import json

from sagemaker_huggingface_inference_toolkit import decoder_encoder


def input_fn(input_data, content_type):
    data = decoder_encoder.decode(input_data, content_type)
    assert isinstance(input_data, str)
    if data.get("fail"):
        raise KeyError("no such thing")
    return {"inputs": data["sentence"], "parameters": {"top_k": None}}


def output_fn(prediction, accept, context):
    context.set_response_header(0, "x-labels", str(len(prediction)))
    if context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes") == "teapot":
        context.set_response_status(418, "I am a teapot")
    return json.dumps({"best": prediction[0]["label"]}), accept
