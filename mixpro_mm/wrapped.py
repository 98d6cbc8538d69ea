"""The model inside what a runner puts around it."""

from mmengine.model import is_model_wrapper
from torch import nn

__all__ = ['unwrap']


def unwrap(model: nn.Module) -> nn.Module:
    """The model itself, of one inside DDP, FSDP, DeepSpeed's engine or another wrapper that has it as ``module``.

    Raises:
        ValueError: for a wrapper that has not.
    """
    if not is_model_wrapper(model):
        return model
    if not hasattr(model, 'module'):
        raise ValueError(
            f'{type(model).__name__} does not show the model that it wraps, so nothing of mixpro_mm can look at it: '
            'train with SingleDeviceStrategy, DDPStrategy, FSDPStrategy or DeepSpeedStrategy'
        )
    return model.module
