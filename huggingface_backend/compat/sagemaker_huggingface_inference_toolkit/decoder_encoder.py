"""The toolkit's decode and encode."""

from huggingface_backend.decoder_encoder import decode, decode_json
from huggingface_backend.decoder_encoder import encode as _encode
from huggingface_backend.decoder_encoder import encode_json as _encode_json


def encode(content: object, accept_type: str = "application/json") -> str:
    """A prediction as text, which is what scripts of the toolkit expect back."""
    return _encode(content, accept_type).decode("utf-8")


def encode_json(content: object, accept_type: str | None = None) -> str:  # noqa: ARG001
    """A prediction as JSON text."""
    return _encode_json(content).decode("utf-8")


__all__ = ["decode", "decode_json", "encode", "encode_json"]
