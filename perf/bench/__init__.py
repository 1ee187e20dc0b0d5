"""The ruler: ours, what bare ONNX Runtime can do, and other servers, on the same work in the same run."""
