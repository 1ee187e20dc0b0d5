"""Sentence embeddings: AutoModel, mean pooling, normalised vectors as a tensor in a dict."""

import torch
import torch.nn.functional as F
from helpers import mean_pooling
from transformers import AutoModel, AutoTokenizer


def model_fn(model_dir):
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModel.from_pretrained(model_dir)
    model.eval()
    return model, tokenizer


def predict_fn(data, model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    sentences = data.pop("inputs", data)
    encoded = tokenizer(sentences, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        output = model(**encoded)
    vectors = F.normalize(mean_pooling(output, encoded["attention_mask"]), p=2, dim=1)
    # One text: its vector; a list: a list of vectors.
    return {"vectors": vectors[0] if isinstance(sentences, str) else vectors}
