"""Deformable convolution (Dai et al., 2017; Zhu et al., 2019) and deformable attention (Zhu et al., 2021)."""

import torch
import torchvision  # noqa: F401  registers torch.ops.torchvision
from torch import Tensor

from mixpro_mm.utils.mmcv_ops.precision import full

__all__ = [
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
]  # fmt: skip

# mmcv's arguments in the order of torchvision: strides, paddings, dilations, groups of weights and of offsets
V1 = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW', 'group', 'deformable_group')
V2 = ('stride_h', 'stride_w', 'pad_h', 'pad_w', 'dilation_h', 'dilation_w', 'group', 'deformable_group')


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **sizes: int
) -> None:
    """Write the deformable convolution to ``output`` (B, O, H', W').

    Args:
        input: Features (B, C, H, W).
        weight: Kernels (O, C / group, kH, kW).
        offset: Offsets ``(y, x)`` of each position of the kernel (B, 2 * deformable_group * kH * kW, H', W').
        output: Receives the result.
        columns, ones: Not used.
        sizes: Strides ``dH, dW``, paddings ``padH, padW``, dilations ``dilationH, dilationW`` in cells, ``group`` and
            ``deformable_group``; others are not used.
    """
    output.copy_(torch.ops.torchvision.deform_conv2d(*_operands(input, weight, offset), *_last(sizes, V1, False)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **sizes: int,
) -> None:
    """Write the gradients of :func:`deform_conv_forward` by ``input`` and ``offset``."""
    grads = _backward(grad_output, _operands(input, weight, offset), _last(sizes, V1, False))
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **sizes: int,
) -> None:
    """Add ``scale`` times the gradient of :func:`deform_conv_forward` by ``weight`` to ``grad_weight``."""
    grads = _backward(grad_output, _operands(input, grad_weight, offset), _last(sizes, V1, False))
    grad_weight.add_(grads[1], alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Write the convolution with modulation ``mask`` (B, deformable_group * kH * kW, H', W') to ``output``.

    The other arguments are those of :func:`deform_conv_forward`, with the names ``stride_h, stride_w, pad_h, pad_w,
    dilation_h, dilation_w``. ``bias`` has the shape (O,) or, without ``with_bias``, (0,).
    """
    operands = _operands(input, weight, offset, mask, bias if with_bias else None)
    output.copy_(torch.ops.torchvision.deform_conv2d(*operands, *_last(sizes, V2, True)))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Write the gradients of :func:`modulated_deform_conv_forward`."""
    grads = _backward(grad_output, _operands(input, weight, offset, mask), _last(sizes, V2, True))
    targets = (grad_input, grad_weight, grad_offset, grad_mask, *([grad_bias] if with_bias else []))
    for target, grad in zip(targets, grads, strict=False):
        target.copy_(grad)


def _operands(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None = None, bias: Tensor | None = None
) -> list[Tensor]:
    """Return the tensors of torchvision, which requires a mask and a bias."""
    mask = input.new_zeros(len(input), 1) if mask is None else mask
    bias = input.new_zeros(len(weight)) if bias is None else bias
    return [full(each) for each in (input, weight, offset, mask, bias)]


def _last(sizes: dict[str, int], names: tuple[str, ...], use_mask: bool) -> list:
    return [*(sizes[name] for name in names), use_mask]


def _backward(grad_output: Tensor, operands: list[Tensor], last: list) -> tuple[Tensor, ...]:
    """Return the gradients by input, weight, offset, mask and bias."""
    return torch.ops.torchvision._deform_conv2d_backward(full(grad_output), *operands, *last)


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return multi-scale deformable attention (B, Q, heads * channels) by mmcv's form in PyTorch.

    Args:
        value: Values of all levels in a row (B, sum of H * W, heads, channels).
        value_spatial_shapes: ``(H, W)`` of each level (L, 2).
        value_level_start_index: Not used.
        sampling_locations: ``(x, y)`` in [0, 1] (B, Q, heads, L, P, 2).
        attention_weights: Weights (B, Q, heads, L, P).
        im2col_step: Not used.
    """
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch  # which imports this module

    tensors = full(value), value_spatial_shapes, full(sampling_locations), full(attention_weights)
    return multi_scale_deformable_attn_pytorch(*tensors).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients of :func:`ms_deform_attn_forward`."""
    value, locations, weights = (
        each.detach().requires_grad_() for each in (value, sampling_locations, attention_weights)
    )
    with torch.enable_grad():
        output = ms_deform_attn_forward(
            value, value_spatial_shapes, value_level_start_index, locations, weights, im2col_step
        )
    grads = torch.autograd.grad(output, (value, locations, weights), grad_output)
    for target, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight), grads, strict=True):
        target.copy_(grad)
