"""numpy arrays in, and out whatever numpy, torch and datetime have in store."""

import datetime

import numpy as np
import torch


def model_fn(model_dir):
    return torch.nn.Identity()


def predict_fn(data, model):
    if isinstance(data, np.ndarray):
        return np.sqrt(np.abs(data.astype("float32")))
    kind = data["inputs"]
    return {
        "scalars": {
            "float32": np.float32(0.1),
            "float64": np.float64(1) / 3,
            "int64": np.int64(2**40),
            "nested": [{"half": np.float16(0.5)}, (np.uint8(7), None, True)],
        },
        "bool": np.bool_(True),
        "tensors": {"hidden": model(torch.arange(6.0).reshape(2, 3) / 7), "mask": [torch.tensor([1, 0])]},
        "datetime": {"at": datetime.datetime(2024, 2, 29, 12, 30, 5), "array": np.zeros((2, 0))},
        "date": {"on": datetime.date(2024, 2, 29)},
        "keys": {1: "one", None: "none", 2.5: "two and a half"},
        "numpy keys": {np.int64(1): "one"},
        "nan": [0.5, float("nan")],
        "infinite tensor": torch.tensor([1.0, float("inf")]),
        "array": np.arange(6).reshape(2, 3),
        "set": {1},
        "bytes": {"raw": b"tea"},
        "string array": np.array(["tea", "rain"]),
        "text": "just a text",
        "none": None,
    }[kind]
