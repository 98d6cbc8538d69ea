"""Pooling of regions of interest."""

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from mixpro_mm.utils.mmcv_ops.precision import full

__all__ = ['roi_align_backward', 'roi_align_forward', 'roi_pool_backward', 'roi_pool_forward']


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the average of bilinear samples in each bin to ``output`` (R, C, aligned_height, aligned_width).

    Args:
        input: Features (B, C, H, W).
        rois: ``(image, x1, y1, x2, y2)`` in pixels of the image (R, 5).
        output: Receives the result.
        argmax_y, argmax_x: Not used by the average.
        aligned_height, aligned_width: Bins of a region.
        spatial_scale: Feature cells per pixel.
        sampling_ratio: Samples along each side of a bin, 0 for about one per cell.
        pool_mode: 1 is the average.
        aligned: Whether pixel centers are at 0.5.

    Raises:
        NotImplementedError: if ``pool_mode`` is 0, the maximum.
    """
    if pool_mode != 1:
        raise NotImplementedError("torchvision has no roi_align with pool_mode='max'; use 'avg', or compile mmcv")
    input, sizes = full(input), (spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned)
    output.copy_(torch.ops.torchvision.roi_align(input, rois.to(input), *sizes))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of :func:`roi_align_forward` with respect to ``input`` to ``grad_input``."""
    grad_output, sizes = full(grad_output), (spatial_scale, aligned_height, aligned_width, *grad_input.shape)
    operands = grad_output, rois.to(grad_output), *sizes, sampling_ratio, aligned
    grad_input.copy_(torch.ops.torchvision._roi_align_backward(*operands))


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the maximum of each bin to ``output`` and its place in the H x W cells to ``argmax``, -1 in empty bins.

    The shapes are those of :func:`roi_align_forward`. The bins are those of mmcv, in PyTorch: torchvision rounds
    regions to whole cells, mmcv does not.
    """
    images = rois[:, 0].long().tolist()
    start = full(rois)[:, 1:3] * spatial_scale  # x, y
    size = (full(rois)[:, 3:] + 1) * spatial_scale - start
    columns_of, rows_of = (
        _bins(start[:, axis], size[:, axis], count, input.shape[3 - axis])
        for axis, count in enumerate((pooled_width, pooled_height))
    )
    output.zero_()
    argmax.fill_(-1)
    for roi, (image, columns, rows) in enumerate(zip(images, columns_of, rows_of, strict=True)):
        for y, (top, bottom) in enumerate(rows):
            for x, (left, right) in enumerate(columns):
                if top < bottom and left < right:
                    cells = input[image, :, top:bottom, left:right]
                    output[roi, :, y, x], place = cells.flatten(1).max(1)
                    row, column = top + place // (right - left), left + place % (right - left)
                    argmax[roi, :, y, x] = row * input.shape[3] + column


def _bins(start: Tensor, size: Tensor, count: int, cells: int) -> list[list[tuple[int, int]]]:
    """Return for each region the first and the last cell + 1 of its bins along an axis; regions of size 0 have none."""
    edges = torch.arange(count + 1, device=start.device) * (size / count)[:, None] + start[:, None]
    first, last = edges[:, :-1].floor().clamp(0, cells), edges[:, 1:].ceil().clamp(0, cells)
    last = torch.where(size[:, None] > 0, last, 0)
    return torch.stack((first, last), 2).long().tolist()


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the gradient of :func:`roi_pool_forward` with respect to ``input`` to ``grad_input``."""
    _, channels, height, width = grad_input.shape
    # cells of all images and channels in a row
    planes = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)
    cells = (planes[..., None, None] * height * width + argmax)[argmax >= 0]
    total = full(grad_output).new_zeros(grad_input.numel()).index_add_(0, cells, full(grad_output)[argmax >= 0])
    grad_input.copy_(total.view_as(grad_input))
