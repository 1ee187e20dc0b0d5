"""All of it is the user's: the model is read by their code, and neither bodies nor answers are JSON."""

import csv
import io
import json
from pathlib import Path

from weights import WEIGHTS_FILE


def model_fn(model_dir):
    return json.loads(Path(model_dir, WEIGHTS_FILE).read_text())


def input_fn(body, content_type):
    if content_type != "text/plain":
        raise ValueError(f"{content_type} is not text/plain")
    return (body.decode() if isinstance(body, bytes) else body).split()


def predict_fn(words, weights):
    return [(word, weights.get(word, 0)) for word in words]


def output_fn(rows, accept):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue(), accept
