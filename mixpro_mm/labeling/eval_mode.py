"""A look at a classifier in the middle of its training that leaves no trace in it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ['eval_mode']


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """``model`` in evaluation mode, every module's own mode restored afterwards.

    Normalisation statistics, dropout and drop path stay untouched, and with them the generators. Autocast must forget
    the weights it casts meanwhile: cast without gradient, they would serve the training pass too.
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
        torch.clear_autocast_cache()
