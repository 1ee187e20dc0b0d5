"""Every task and every parameter against transformers itself, over tiny models."""
