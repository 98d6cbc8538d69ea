"""Ops of mmcv on a device, compared with those of torchvision on the CPU."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ['OPS', 'TOLERANCES', 'compare_op']

OPS = ('nms', 'roi_align', 'deform_conv', 'focal_loss')
# of the greatest value of a tensor: sums in another order in float32, rounding of the result in float16
TOLERANCES = {torch.float32: 1e-4, torch.float16: 2e-3}


def compare_op(name: str, device: str, dtype: torch.dtype) -> dict:
    """Compare an op of mmcv on the device with torchvision's on the CPU in float32, for inputs that ``dtype`` has.

    Returns:
        The greatest difference of the output and of gradients, each relative to the greatest value of its tensor.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    inputs, leaves, ours, theirs = _cases()[name]
    inputs = [value.to(dtype) for value in inputs]
    expected = _results(theirs, [value.float() for value in inputs], leaves)
    found = _results(ours, [value.to(device) for value in inputs], leaves)
    differences = [((a - b).abs().max() / b.abs().max()).item() for a, b in zip(found, expected, strict=True)]
    limit = TOLERANCES[dtype]
    figures = dict(difference=differences[0], limit=limit, ok=all(each <= limit for each in differences))
    return figures | (dict(gradient_difference=float(np.max(differences[1:]))) if leaves else {})


def _results(op: Callable[..., Tensor], inputs: list[Tensor], leaves: int) -> list[Tensor]:
    """Return the output of an op and the gradients of its first ``leaves`` inputs, in float32 on the CPU."""
    inputs = [value.detach().requires_grad_(n < leaves) for n, value in enumerate(inputs)]
    output = op(*inputs)
    weights = (torch.arange(output.numel(), device=output.device) % 8 / 8).view_as(output).to(output.dtype)
    gradients = torch.autograd.grad(output, inputs[:leaves], weights) if leaves else ()
    return [value.detach().cpu().float() for value in (output, *gradients)]


def _cases() -> dict[str, tuple[list[Tensor], int, Callable, Callable]]:
    """Return inputs of each op, how many of them have a gradient, and the ops of mmcv and of torchvision."""
    import torchvision.ops as vision
    from mmcv import ops

    rand = partial(torch.rand, generator=torch.Generator().manual_seed(0))
    corners, maps = 30 * rand(200, 2), rand(2, 8, 64, 64)
    boxes, classes = torch.cat((corners, corners + 4 + 20 * rand(200, 2)), 1), torch.arange(200) % 10
    scores = torch.arange(200) * 77 % 200 / 256  # exact in float16, without ties
    regions, labels = torch.cat((classes[:, None] % 2, boxes), 1), F.one_hot(classes).float()
    offsets, weight = 4 * rand(2, 18, 64, 64) - 2, rand(8, 8, 3, 3)
    return dict(
        nms=([boxes, scores], 0, lambda *x: ops.nms(*x, 0.5)[1], lambda *x: vision.nms(*x, 0.5)),
        roi_align=(
            [maps, regions],
            1,
            lambda *x: ops.roi_align(*x, 7, 1.0, 0, 'avg', True),
            lambda *x: vision.roi_align(*x, 7, aligned=True),
        ),
        deform_conv=(
            [maps, offsets, weight],
            3,
            lambda *x: ops.deform_conv2d(*x, 1, 1),
            lambda *x: vision.deform_conv2d(*x, padding=1),
        ),
        focal_loss=(
            [8 * rand(200, 10) - 4],
            1,
            lambda x: ops.sigmoid_focal_loss(x, classes.to(x.device), 2.0, 0.25, None, 'none'),
            lambda x: vision.sigmoid_focal_loss(x, labels, 0.25, 2.0),
        ),
    )
