"""transform_fn alone, with the default model."""


class PredictionException(Exception):
    def __init__(self, message, error_code):
        super().__init__(message)
        self.message, self.error_code = message, error_code


def transform_fn(model, input_data, content_type, accept):
    if "busy" in input_data:
        raise PredictionException("come back later", 503)
    return {"answer": model(input_data.upper()), "type": content_type}
