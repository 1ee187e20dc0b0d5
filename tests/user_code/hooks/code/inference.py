"""input_fn and output_fn around the default prediction, which stays batched."""

import json
import threading

from sagemaker_huggingface_inference_toolkit import decoder_encoder

THREADS = set()


def input_fn(input_data, content_type):
    THREADS.add(threading.get_ident())
    data = decoder_encoder.decode(input_data, content_type)
    assert isinstance(input_data, str)
    if data.get("fail"):
        raise KeyError("no such thing")
    return {"inputs": data["sentence"], "parameters": {"top_k": None}}


def output_fn(prediction, accept, context):
    THREADS.add(threading.get_ident())
    context.set_response_header(0, "x-labels", str(len(prediction)))
    context.set_response_header(0, "x-threads", str(len(THREADS)))
    if context.get_request_header(0, "X-Amzn-SageMaker-Custom-Attributes") == "teapot":
        context.set_response_status(418, "I am a teapot")
    return json.dumps({"best": prediction[0]["label"]}), accept
