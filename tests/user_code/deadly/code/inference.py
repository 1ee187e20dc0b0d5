"""An input that ends the process, as a fault in native code would."""

import json
import os


def input_fn(input_data, content_type):
    data = json.loads(input_data)
    if data["inputs"] == "die":
        os._exit(1)
    return data
