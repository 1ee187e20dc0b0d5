"""model_fn alone: a transformers pipeline of the script's own making."""

from transformers import pipeline


def model_fn(model_dir):
    return pipeline("text-classification", model=model_dir, tokenizer=model_dir, device=-1, top_k=2)
