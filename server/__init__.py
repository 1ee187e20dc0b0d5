"""The SageMaker adapter on one port, and the keeper of the Triton behind it."""
