"""What the hooks are given, told by its type."""

SEEN = []


def model_fn(model_dir):
    SEEN.append(type(model_dir).__name__)
    return


def input_fn(input_data, content_type):
    return {
        "model_dir": SEEN[0],
        "body": type(input_data).__name__,
        "binary": isinstance(input_data, (bytes, bytearray)),
        "length": len(input_data),
        "content_type": content_type,
    }


def predict_fn(data, model):
    return {**data, "model": model}


def output_fn(prediction, accept):
    text = repr({**prediction, "accept": accept})
    return text.replace("'", '"').replace("None", "null").replace("True", "true").replace("False", "false")
