"""The module that takes the place of ``mmcv._ext``. Names and arguments of its functions are those of mmcv.

Half precision (float16, bfloat16) is computed in float32.
"""

import importlib.metadata

import torch
import torchvision

from mixpro_mm.utils.mmcv_ops.boxes import nms, nms_match, softnms
from mixpro_mm.utils.mmcv_ops.convolution import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
    ms_deform_attn_backward,
    ms_deform_attn_forward,
)
from mixpro_mm.utils.mmcv_ops.focal_loss import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from mixpro_mm.utils.mmcv_ops.pooling import (
    roi_align_backward,
    roi_align_forward,
    roi_pool_backward,
    roi_pool_forward,
)

__all__ = [
    'deform_conv_backward_input', 'deform_conv_backward_parameters', 'deform_conv_forward', 'get_compiler_version',
    'get_compiling_cuda_version', 'modulated_deform_conv_backward', 'modulated_deform_conv_forward',
    'ms_deform_attn_backward', 'ms_deform_attn_forward', 'nms', 'nms_match', 'roi_align_backward', 'roi_align_forward',
    'roi_pool_backward', 'roi_pool_forward', 'sigmoid_focal_loss_backward', 'sigmoid_focal_loss_forward',
    'softmax_focal_loss_backward', 'softmax_focal_loss_forward', 'softnms',
]  # fmt: skip


def get_compiler_version() -> str:
    """Return what :func:`mmcv.utils.collect_env` prints as the compiler of mmcv."""
    return f'none, ops of torchvision {torchvision.__version__}'


def get_compiling_cuda_version() -> str:
    """Return the CUDA version of torchvision, or 'not available' as mmcv does."""
    return (torchvision.version.cuda and torch.version.cuda) or 'not available'


def __getattr__(name: str):
    """Return a function that raises NotImplementedError, because :mod:`mmcv.ops` asks for all ops on import."""
    if name.startswith('_'):
        raise AttributeError(name)

    def missing(*args, **kwargs):
        owner = importlib.metadata.packages_distributions()['mmcv'][0]
        raise NotImplementedError(
            f'torchvision has no equivalent of the op {name!r} of mmcv; compile mmcv for it: MMCV_WITH_OPS=1 python -m '
            f'pip install --no-build-isolation --no-deps --force-reinstall --no-cache-dir --no-binary {owner} '
            f'{owner}=={importlib.metadata.version(owner)}'
        )

    return missing
