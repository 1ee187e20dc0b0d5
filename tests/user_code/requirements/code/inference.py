"""A package from requirements.txt."""

import emoji


def model_fn(model_dir):
    return emoji.__version__


def predict_fn(data, model):
    text = data.pop("inputs", "")
    return {"text": emoji.emojize(text), "count": emoji.emoji_count(emoji.emojize(text)), "version": model}
