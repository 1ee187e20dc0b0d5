"""Files beside the script, in the model's folder, and wherever the process happens to stand."""

import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "data", "prices.json")) as file:
    PRICES = json.load(file)


def model_fn(model_dir):
    with open(os.path.join(model_dir, "config.json")) as file:
        config = json.load(file)
    with open(os.path.join(model_dir, "code", "note.txt")) as file:
        note = file.read().strip()
    return {"dir": model_dir, "labels": len(config["id2label"]), "note": note}


def predict_fn(data, model):
    kind = data.pop("inputs")
    if kind == "prices":
        return PRICES
    if kind == "model":
        names = {"code", "config.json", "model.safetensors", "tokenizer.json", "model.onnx", "graph.onnx"}
        return {
            "labels": model["labels"],
            "note": model["note"],
            "files": sorted(names & set(os.listdir(model["dir"]))),
        }
    if kind == "code is in model_dir":
        return os.path.samefile(HERE, os.path.join(model["dir"], "code"))
    if kind == "working directory":
        return os.path.relpath(os.getcwd(), model["dir"])
    if kind == "relative":
        with open("config.json") as file:
            return {"labels": len(json.load(file)["id2label"])}
    if kind == "relative in code":
        with open("code/note.txt") as file:
            return file.read().strip()
    if kind == "scratch":
        path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"scratch-{os.getpid()}.txt")
        with open(path, "w") as file:
            file.write("tea")
        size = os.path.getsize(path)
        os.remove(path)
        return size
    with open(os.path.join(HERE, kind)) as file:
        return file.read()
