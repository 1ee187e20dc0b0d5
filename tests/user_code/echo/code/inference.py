"""The body back, as it came."""


def transform_fn(model, body, content_type, accept):
    return body


def model_fn(model_dir):
    return None
