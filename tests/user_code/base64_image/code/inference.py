"""A picture as base64 within JSON, both ways."""

import base64
import io

from PIL import Image


def model_fn(model_dir):
    return None


def predict_fn(data, model):
    image = Image.open(io.BytesIO(base64.b64decode(data["image"])))
    angle = data.get("parameters", {}).get("angle", 90)
    turned = image.rotate(angle, expand=True)
    buffer = io.BytesIO()
    turned.save(buffer, format="PNG")
    return {
        "format": image.format,
        "size": turned.size,
        "image": base64.b64encode(buffer.getvalue()).decode(),
        "original": image,
        "prompt": data.pop("inputs", ""),
    }
