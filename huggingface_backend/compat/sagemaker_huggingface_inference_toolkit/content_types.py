"""The toolkit's media types."""

from sagemaker_inference.content_types import ANY, CSV, JSON, NPY, OCTET_STREAM, UTF8_TYPES

JPEG, PNG, TIFF, BMP, GIF, WEBP = (f"image/{name}" for name in ("jpeg", "png", "tiff", "bmp", "gif", "webp"))
X_IMAGE = "image/x-image"
VISION_TYPES = [JPEG, PNG, TIFF, BMP, GIF, WEBP, X_IMAGE]
FLAC, MP3, WAV, OGG, X_AUDIO = (f"audio/{name}" for name in ("x-flac", "mpeg", "wave", "ogg", "x-audio"))
AUDIO_TYPES = [FLAC, MP3, WAV, OGG, X_AUDIO]

__all__ = ["ANY", "AUDIO_TYPES", "CSV", "JSON", "NPY", "OCTET_STREAM", "UTF8_TYPES", "VISION_TYPES"]
