"""Ops of mmcv on a device, compared with those of torchvision on the CPU."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ['OPS', 'TOLERANCES', 'compare_op']

OPS = ('nms', 'roi_align', 'deform_conv', 'focal_loss')
# of the greatest value of a tensor: sums in another order in float32, rounding of the result in float16
TOLERANCES = {torch.float32: 1e-4, torch.float16: 2e-3}


def op_case(name: str) -> tuple[list[Tensor], int, Callable, Callable]:
    """Return inputs of an op, how many of them have a gradient, and the op of mmcv and of torchvision."""
    import mmcv.ops
    import torchvision.ops

    rand = partial(torch.rand, generator=torch.Generator().manual_seed(0))
    corners = 30 * rand(200, 2)
    boxes = torch.cat((corners, corners + 4 + 20 * rand(200, 2)), 1)
    maps, classes = rand(2, 8, 64, 64), torch.arange(200) % 10
    if name == 'nms':  # scores that float16 has, without ties
        scores = (torch.arange(200) * 77 % 200) / 256
        ours, theirs = (lambda *args: mmcv.ops.nms(*args, 0.5)[1]), partial(torchvision.ops.nms, iou_threshold=0.5)
        return [boxes, scores], 0, ours, theirs
    if name == 'roi_align':
        rois = torch.cat((classes[:, None] % 2, boxes), 1)
        ours = lambda *args: mmcv.ops.roi_align(*args, 7, 1.0, 0, 'avg', True)  # noqa: E731
        return [maps, rois], 1, ours, partial(torchvision.ops.roi_align, output_size=7, aligned=True)
    if name == 'deform_conv':
        inputs = [maps, 4 * rand(2, 18, 64, 64) - 2, rand(8, 8, 3, 3)]
        ours, theirs = (lambda *args: mmcv.ops.deform_conv2d(*args, padding=1)), torchvision.ops.deform_conv2d
        return inputs, 3, ours, partial(theirs, padding=1)
    ours = lambda logits: mmcv.ops.sigmoid_focal_loss(logits, classes.to(logits.device), 2.0, 0.25, None, 'none')  # noqa: E731
    theirs = partial(torchvision.ops.sigmoid_focal_loss, targets=F.one_hot(classes).float(), alpha=0.25, gamma=2.0)
    return [8 * rand(200, 10) - 4], 1, ours, theirs


def compare_op(name: str, device: str, dtype: torch.dtype) -> dict:
    """Compare an op of mmcv on the device with torchvision's on the CPU in float32, for inputs that ``dtype`` has.

    Returns:
        The greatest difference of outputs and gradients, each relative to the greatest value of its tensor.
    """
    inputs, leaves, ours, theirs = op_case(name)
    inputs, results, weights = [value.to(dtype).float() for value in inputs], [], None
    for op, place in ((theirs, {}), (ours, dict(device=device, dtype=dtype))):
        own = [value.to(**place) if place else value.clone() for value in inputs]
        for value in own[:leaves]:
            value.requires_grad_()
        output = op(*own)
        weights = torch.linspace(0.5, 1, output.numel()).view_as(output) if weights is None else weights
        grads = torch.autograd.grad(output, own[:leaves], weights.to(output)) if leaves else ()
        results.append([value.detach().cpu().float() for value in (output, *grads)])
    found = [((a - b).abs().max() / a.abs().max()).item() for a, b in zip(*results, strict=True)]
    figures = dict(difference=found[0], limit=TOLERANCES[dtype], ok=max(found) <= TOLERANCES[dtype])
    return figures | (dict(gradient_difference=max(found[1:])) if leaves else {})
