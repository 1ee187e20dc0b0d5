"""The toolkit's name, for scripts that import from it."""
