"""The name of SageMaker's inference toolkit, for scripts that import from it."""
