"""Lines of plain text in, a table or JSON out; the prediction is the default one."""

import csv
import io
import json


def input_fn(input_data, content_type):
    if content_type == "text/plain":
        lines = bytes(input_data).decode("utf-8").splitlines()
        return {"inputs": [line for line in lines if line.strip()], "parameters": {"top_k": None}}
    if content_type == "application/json":
        data = json.loads(input_data)
        return {"inputs": data["texts"], "parameters": data.get("options", {})}
    raise ValueError(f"this model does not read {content_type}")


def output_fn(prediction, accept):
    if accept == "text/csv":
        stream = io.StringIO()
        writer = csv.writer(stream)
        for labels in prediction:
            labels = labels if isinstance(labels, list) else [labels]
            writer.writerow([cell for label in labels for cell in (label["label"], round(label["score"], 4))])
        return stream.getvalue()
    if accept in ("application/json", "application/jsonlines"):
        separator = "\n" if accept == "application/jsonlines" else ","
        lines = separator.join(json.dumps(labels) for labels in prediction)
        return lines if accept == "application/jsonlines" else f"[{lines}]"
    raise ValueError(f"this model does not write {accept}")
