"""What scripts use of the toolkit's transformers_utils."""


def get_pipeline(task, device, model_dir, **kwargs):
    """`transformers.pipeline` on a model folder, its processor from the same folder."""
    from transformers import pipeline

    return pipeline(task=task, model=str(model_dir), device=device, **kwargs)
