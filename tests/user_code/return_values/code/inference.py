"""output_fn returning everything that has been seen returned."""

import json

import numpy as np
import torch


def model_fn(model_dir):
    return {}


def predict_fn(data, model):
    return data["inputs"]


def output_fn(prediction, accept):
    return {
        "text": "plain text",
        "json text": json.dumps({"a": [1, 2.5]}, indent=4),
        "bytes": b"\x00\x01tea",
        "bytearray": bytearray(b"tea"),
        "body and type": (json.dumps({"tea": 1}), accept),
        "body and another type": ("tea,1\n", "text/csv"),
        "bytes and type": (b"tea", "application/octet-stream"),
        "two words": ("tea", "rain"),
        "three": ("tea", 1, None),
        "list": ["tea", 1.5, {"a": None}],
        "dict": {"label": "tea", "score": 0.25, "other": "Größe 茶"},
        "none": None,
        "int": 7,
        "float": 0.1,
        "bool": True,
        "tensor": torch.tensor([1.0, 2.0]),
        "tensors": {"vector": torch.tensor([1.0, 2.0])},
        "array": np.arange(3),
        "scalar": np.float64(0.5),
        "float32": [np.float32(0.5)],
        "object": {"model": object()},
        "nan": [float("nan")],
        "empty": "",
    }[prediction]
