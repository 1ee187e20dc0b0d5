"""predict_batch_fn: what the dynamic batcher gathered, in one call. One poisonous request fails alone."""

import time


def model_fn(model_dir):
    return {"calls": 0}


def predict_batch_fn(list_of_data, model):
    model["calls"] += 1
    time.sleep(0.05)  # so that the next batch gathers
    if any(data["inputs"] == "poison" for data in list_of_data):
        list_of_data[0].clear()
        raise ValueError("poison in the batch")
    if list_of_data[0]["inputs"] == "too few":
        return []
    return [{"echo": data.pop("inputs"), "together": len(list_of_data)} for data in list_of_data]
