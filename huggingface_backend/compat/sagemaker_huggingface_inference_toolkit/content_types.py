"""The toolkit's media types."""

from huggingface_backend.decoder_encoder import ANY, JSON

__all__ = ["ANY", "JSON"]
