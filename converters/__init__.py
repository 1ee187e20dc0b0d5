"""From a Hub id, a folder or a model.tar.gz to an entry of a Triton model repository."""
