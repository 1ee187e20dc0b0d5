"""`triton-hf bench`: loads a running endpoint, reports what it saw, and tunes an entry to the user's own texts."""
