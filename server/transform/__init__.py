"""`triton-hf transform`: files of JSON lines through a model, as SageMaker's batch transform does it."""
