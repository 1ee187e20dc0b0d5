"""predict_fn alone, around the model that the server has loaded."""


def predict_fn(data, model):
    inputs = data.pop("inputs", data)
    parameters = data.pop("parameters", None)
    predictions = model(inputs, **parameters) if parameters is not None else model(inputs)
    if isinstance(inputs, str):
        inputs = [inputs]
    return [
        {"text": text, "characters": len(text), "prediction": prediction}
        for text, prediction in zip(inputs, predictions, strict=False)
    ]
