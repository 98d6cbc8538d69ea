"""The model inside what a runner puts around it."""

from mmengine.model import is_model_wrapper
from torch import nn

__all__ = ['unwrap']


def unwrap(model: nn.Module) -> nn.Module:
    """The model itself, of one inside DDP, FSDP, DeepSpeed's engine or another wrapper that has it as ``module``.

    Raises:
        AttributeError: for a wrapper that has not.
    """
    return model.module if is_model_wrapper(model) else model
