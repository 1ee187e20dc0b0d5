import torch


def mean_pooling(model_output, attention_mask):
    """Average the token embeddings, leaving the padding out."""
    tokens = model_output[0]
    mask = attention_mask.unsqueeze(-1).expand(tokens.size()).float()
    return torch.sum(tokens * mask, 1) / torch.clamp(mask.sum(1), min=1e-9)
