"""Temporary evaluation mode without side effects on training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ['eval_mode']


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Set ``model`` to evaluation mode and restore the mode of every module on exit.

    The autocast cache is cleared on exit: weights cast without gradient would be reused by the training pass.
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
        torch.clear_autocast_cache()
