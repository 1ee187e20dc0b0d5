"""A binary protocol of the script's own: little-endian floats in, doubled floats out."""

import struct


def model_fn(model_dir):
    return 2.0


def input_fn(request_body, request_content_type):
    if request_content_type != "application/octet-stream":
        raise ValueError(f"Unsupported content type: {request_content_type}")
    if len(request_body) % 4:
        raise ValueError(f"{len(request_body)} bytes are not a number of floats")
    return list(struct.unpack(f"<{len(request_body) // 4}f", request_body))


def predict_fn(input_object, model):
    return [model * value for value in input_object]


def output_fn(prediction, response_content_type):
    if response_content_type == "application/json":
        return str(prediction)
    return struct.pack(f"<{len(prediction)}f", *prediction)
