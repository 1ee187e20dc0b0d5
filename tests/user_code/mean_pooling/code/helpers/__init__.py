from .pooling import mean_pooling

__all__ = ["mean_pooling"]
