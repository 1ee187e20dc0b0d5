"""The real SageMaker Hugging Face Inference Toolkit: the reference for what a script sees and a client gets."""
