"""The tritonserver process: where it is, how it starts and dies, how it is spoken to."""
