WEIGHTS_FILE = "weights.json"
