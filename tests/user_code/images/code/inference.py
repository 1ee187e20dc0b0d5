"""Pictures in, pictures or figures out. What a picture was encoded with is the server's business."""

import numpy as np
from PIL import Image, ImageOps


def model_fn(model_dir):
    return "figures"


def predict_fn(data, model):
    image = data["inputs"]
    parameters = data.get("parameters") or {}
    assert isinstance(image, Image.Image)
    if parameters.get("only") == "picture":
        return image
    if image.width == image.height:
        return ImageOps.invert(image)
    pixels = np.asarray(image)
    return {
        "mode": image.mode,
        "size": image.size,
        "mean": pixels.mean(axis=(0, 1)),
        "thumbnail": image.resize((2, 2), Image.NEAREST),
    }
