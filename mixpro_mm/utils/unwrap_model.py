"""The model inside what a runner puts around it."""

from mmengine.model import is_model_wrapper
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

__all__ = ['in_shards', 'unwrap_model']


def unwrap_model(model: nn.Module) -> nn.Module:
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


def in_shards(model: nn.Module) -> str:
    """Who has left this process a shard of the tensors only, or ''.

    ``fully_shard`` and tensor parallelism make each parameter a DTensor, which has a ``device_mesh``; ZeRO 3 marks what
    it cuts by ``ds_id``.
    """
    if any(isinstance(module, FullyShardedDataParallel) for module in (model, *unwrap_model(model).modules())):
        return type(model).__name__ if isinstance(model, FullyShardedDataParallel) else 'FullyShardedDataParallel'
    parameters = list(unwrap_model(model).parameters())
    marks = dict(device_mesh='fully_shard (DTensor)', ds_id='ZeRO 3 of DeepSpeed')
    return next((who for mark, who in marks.items() if any(hasattr(p, mark) for p in parameters)), '')
