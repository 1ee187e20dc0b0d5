"""Writes its answers in whatever way the request names."""

import json

WAYS = {
    "pretty": json.dumps({"list": [1, 2], "long": 10**25, "text": "tea\nfor two"}, indent=2),
    "table": "label,score\ntea,0.5\n",
    "bytes": b"\xff\xfe\x00",
}


def model_fn(model_dir):
    return None


def predict_fn(data, model, context):
    if data["inputs"] == "status":
        context.set_response_status(409, "Conflict")
    return data["inputs"]


def output_fn(prediction, accept):
    return WAYS.get(prediction, json.dumps({"said": prediction, "accept": accept}))
