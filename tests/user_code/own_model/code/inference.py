"""model_fn and predict_fn: the model is the script's."""

import os

LOADED = []


def model_fn(model_dir, context=None):
    LOADED.append(context.model_name)
    return sorted(os.listdir(model_dir))


def predict_fn(data, model):
    return {"files": model, "echo": data.pop("inputs", data), "loaded": LOADED}
