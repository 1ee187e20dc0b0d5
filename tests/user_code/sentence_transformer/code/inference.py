"""The sentence-transformers library itself as the model."""

from sentence_transformers import SentenceTransformer


def model_fn(model_dir):
    return SentenceTransformer(model_dir, device="cpu")


def predict_fn(data, model):
    sentences = data.get("inputs") or data.get("sentences")
    if isinstance(sentences, str):
        sentences = [sentences]
    parameters = data.get("parameters", {})
    embeddings = model.encode(sentences, show_progress_bar=False, **parameters)
    return {"embeddings": embeddings, "dimension": embeddings.shape[-1], "count": len(sentences)}
