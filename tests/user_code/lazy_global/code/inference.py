"""A global loaded with the first request, and a look at whether it is loaded again."""

import os
import threading

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

MODEL_DIR = None
MODEL = None
TOKENIZER = None
LOADS = 0
LOCK = threading.Lock()
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def load():
    global MODEL, TOKENIZER, LOADS
    with LOCK:
        if MODEL is None:
            TOKENIZER = AutoTokenizer.from_pretrained(MODEL_DIR)
            MODEL = AutoModelForSequenceClassification.from_pretrained(MODEL_DIR).eval()
            LOADS += 1
    return MODEL, TOKENIZER


def model_fn(model_dir):
    global MODEL_DIR
    MODEL_DIR = model_dir


def predict_fn(data, _):
    model, tokenizer = load()
    text = data.pop("inputs")
    threshold = data.pop("threshold", 0.5)
    if data:
        raise ValueError(f"unknown: {', '.join(sorted(data))}")
    with torch.inference_mode():
        scores = model(**tokenizer(text, return_tensors="pt", truncation=True)).logits[0].softmax(-1)
    labels = [model.config.id2label[index] for index, score in enumerate(scores) if score > threshold]
    return {"scores": scores, "labels": labels, "loads": LOADS}
