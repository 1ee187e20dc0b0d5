"""What runs inside Triton: decode a request, honour its inference.py, batch its rows, encode the answer.

It imports neither `server` nor `converters`, because user code shares its process, and on the fast path
neither torch nor transformers.
"""
