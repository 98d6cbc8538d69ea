"""The model inside the wrapper of a runner."""

from mmengine.model import is_model_wrapper
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel

__all__ = ['in_shards', 'unwrap_model']


def unwrap_model(model: nn.Module) -> nn.Module:
    """Return the model inside DDP, FSDP, DeepSpeed or another wrapper; a ValueError if it has no ``module``."""
    if is_model_wrapper(model) and not hasattr(model, 'module'):
        raise ValueError(
            f'{type(model).__name__} has no attribute `module` with its model, which mixpro_mm needs: train with '
            'SingleDeviceStrategy, DDPStrategy, FSDPStrategy or DeepSpeedStrategy'
        )
    return model.module if is_model_wrapper(model) else model


def in_shards(model: nn.Module) -> str:
    """Return the name of what shards the parameters of a model, or ''.

    ``fully_shard`` and tensor parallelism convert parameters to DTensor with a ``device_mesh``; ZeRO 3 sets ``ds_id``.
    """
    if any(isinstance(module, FullyShardedDataParallel) for module in (model, *unwrap_model(model).modules())):
        return type(model).__name__ if isinstance(model, FullyShardedDataParallel) else 'FullyShardedDataParallel'
    marks = dict(device_mesh='fully_shard (DTensor)', ds_id='ZeRO 3 of DeepSpeed')
    parameters = list(unwrap_model(model).parameters())
    return next((who for mark, who in marks.items() if any(hasattr(each, mark) for each in parameters)), '')
