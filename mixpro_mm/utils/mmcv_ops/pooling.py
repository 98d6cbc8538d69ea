"""Pooling of regions of interest."""

import torch
import torchvision
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
    input, bins = full(input), (aligned_height, aligned_width)
    # the function, not the op: it is deterministic on request
    output.copy_(torchvision.ops.roi_align(input, rois.to(input), bins, spatial_scale, sampling_ratio, aligned))


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
    grad_output, bins = full(grad_output), (aligned_height, aligned_width)
    rois = rois.to(grad_output)
    if grad_input.is_cpu:  # torchvision takes 1.1 to 1.2 times as long as mmcv; docs/benchmark.md
        grad_input.copy_(_products(grad_output, rois, grad_input.shape, spatial_scale, sampling_ratio, aligned))
        return
    if torch.are_deterministic_algorithms_enabled():
        with torch.enable_grad():  # linear in its input, so any input will do
            zeros = torch.zeros_like(grad_input, dtype=rois.dtype).requires_grad_()
            pooled = torchvision.ops.roi_align(zeros, rois, bins, spatial_scale, sampling_ratio, aligned)
        grad_input.copy_(torch.autograd.grad(pooled, zeros, grad_output)[0])
        return
    grad_input.copy_(
        torch.ops.torchvision._roi_align_backward(
            grad_output, rois, spatial_scale, *bins, *grad_input.shape, sampling_ratio, aligned
        )
    )


def _products(
    grad_output: Tensor, rois: Tensor, shape: torch.Size, scale: float, samples: int, aligned: bool
) -> Tensor:
    """Return the gradient (B, C, H, W) of roi_align: the weight of a cell in a bin is one along y times one along x."""
    grad_input = grad_output.new_zeros(shape)
    rows_of, columns_of = (
        _weights(rois[:, [axis, axis + 2]] * scale - aligned / 2, bins, cells, samples, aligned)
        for axis, bins, cells in zip((2, 1), grad_output.shape[2:], shape[2:], strict=True)
    )
    images, extents = rois[:, 0].long().tolist(), zip(_extents(rows_of), _extents(columns_of), strict=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(
        1
    )  # products are small: on a busy machine threads wait for each other longer than they compute
    try:
        for roi, (image, ((top, bottom), (left, right))) in enumerate(zip(images, extents, strict=True)):
            products = rows_of[roi, :, top:bottom].T @ (grad_output[roi] @ columns_of[roi, :, left:right])
            grad_input[image, :, top:bottom, left:right] += products
    finally:
        torch.set_num_threads(threads)
    return grad_input


def _weights(edges: Tensor, bins: int, cells: int, samples: int, aligned: bool) -> Tensor:
    """Return the weights (R, bins, cells) of the cells in the averages of the bins between ``edges`` (R, 2)."""
    start, end = edges[..., None, None].unbind(1)
    size = (end - start if aligned else (end - start).clamp(min=1)) / bins
    count = torch.full_like(size, samples) if samples > 0 else size.ceil()
    steps = torch.arange(int(max(count.flatten().tolist(), default=0)))
    count_or_1 = count.clamp(min=1)
    places = start + torch.arange(bins)[:, None] * size + (steps + 0.5) * size / count_or_1
    share = ((steps < count) & (places >= -1) & (places <= cells)) / count_or_1
    places = places.clamp(0, cells - 1)
    low = places.long()
    upper = (places - low) * share
    weights = edges.new_zeros(len(edges), bins, cells).scatter_add_(2, low, share - upper)
    return weights.scatter_add_(2, (low + 1).clamp(max=cells - 1), upper)


def _extents(weights: Tensor) -> list[tuple[int, int]]:
    """Return for each region the first cell with a weight and the last + 1."""
    used = weights.any(1).byte()
    return torch.stack((used.argmax(1), used.shape[1] - used.flip(1).argmax(1)), 1).tolist()


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
    """Add the gradient of :func:`roi_pool_forward` with respect to ``input`` to ``grad_input``."""
    _, channels, height, width = grad_input.shape
    # cells of all images and channels in a row
    planes = rois[:, :1].long() * channels + torch.arange(channels, device=rois.device)
    cells = (planes[..., None, None] * height * width + argmax)[argmax >= 0]
    grad_input.view(-1).index_add_(0, cells, grad_output[argmax >= 0])
