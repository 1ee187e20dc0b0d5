"""The context in every hook: headers in; headers, status and content type out."""

import json
import os
import time


def model_fn(model_dir, context):
    properties = context.system_properties
    return {
        "named": isinstance(context.model_name, str) and len(context.model_name) > 0,
        "same folder": os.path.samefile(properties["model_dir"], model_dir),
        "properties": sorted(set(properties) & {"model_dir", "gpu_id", "batch_size", "server_name", "server_version"}),
        "batch_size": properties.get("batch_size"),
        "gpu": properties.get("gpu_id"),
        "manifest": context.manifest,
    }


def input_fn(input_data, content_type, context):
    data = json.loads(input_data)
    headers = {name.lower(): value for name, value in context.get_all_request_header(0).items() if name != "body"}
    data["headers"] = {name: value for name, value in sorted(headers.items()) if name.startswith("x-tea")}
    data["type"] = headers.get("content-type")
    data["request id"] = bool(context.get_request_id(0)) and context.get_request_id(0) == context.get_request_id()
    return data


def predict_fn(data, model, context):
    started = time.time()
    properties = context.request_processor[0].get_request_properties()
    named = {name.lower(): value for name, value in properties.items()}
    data["attributes"] = named.get("x-amzn-sagemaker-custom-attributes")
    data["exactly"] = context.get_request_header(0, "X-Tea-Kind")
    data["absent"] = context.get_request_header(0, "X-Absent")
    context.metrics.add_time("Predict", round((time.time() - started) * 1000, 2))
    context.metrics.add_counter("Cups", 1)
    context.metrics.add_size("Tea", 2.5, unit="MB")
    return {"model": model, "data": data}


def output_fn(prediction, accept, context):
    for name, value in prediction["data"].get("set", {}).items():
        context.set_response_header(0, name, value)
    if "status" in prediction["data"]:
        context.set_response_status(code=prediction["data"]["status"], phrase="as you said", idx=0)
    if "content type" in prediction["data"]:
        context.set_response_content_type(0, prediction["data"]["content type"])
    if "fail" in prediction["data"]:
        raise ValueError(prediction["data"]["fail"])
    return json.dumps({"accept": accept, **prediction})
