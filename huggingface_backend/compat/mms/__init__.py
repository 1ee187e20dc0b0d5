"""multi-model-server's name, for scripts that import from it."""
