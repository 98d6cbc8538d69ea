"""The precision of the substitutes for mmcv's ops."""

import torch
from torch import Tensor

__all__ = ['full']


def full(tensor: Tensor) -> Tensor:
    """Return a float16 or bfloat16 tensor in float32, and any other as it is."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
