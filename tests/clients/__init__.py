"""Real clients of SageMaker, run against a server on the loopback."""
