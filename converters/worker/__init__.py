"""The child process of a conversion: it may load torch, and takes that memory with it when it ends.

`protocol` is the parent's side of the pipe and imports nothing heavy; the other modules run in the child.
"""
