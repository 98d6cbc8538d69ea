"""Spectral-residual saliency (Hou and Zhang, Saliency Detection, CVPR 2007)."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mixpro_mm.functional.masks import box_mask

__all__ = ['peak_mask', 'spectral_residual']

NOISE = 1e-6  # fraction of the maximum below which fp32 values are rounding errors


def spectral_residual(images: Tensor, *, side: int = 64, sigma: float = 2.5) -> Tensor:
    """Return the saliency of every pixel by the spectral residual, without gradient.

    The log amplitude minus its average over 3 x 3 frequencies is transformed back with the original phase; the squared
    modulus is smoothed by a Gaussian. Grey is the mean of the channels. Side and sigma are those of the authors'
    demonstration, which cuts the Gaussian at 10 x 10 pixels and pads the spectrum by its edge; here the Gaussian is
    whole and the spectrum periodic.

    Args:
        images: (B, C, H, W) in any float dtype; computed in fp32.
        side: Pixels of the shorter side at which the spectrum is computed; smaller images keep their size.
        sigma: Width of the Gaussian in pixels at ``side``, scaled down with the image.

    Returns:
        (B, H, W) fp32, each map scaled to [0, 1]; zero for a constant image.

    Raises:
        ValueError: If the images have another shape.
    """
    if images.ndim != 4:
        raise ValueError(f'spectral_residual needs images (B, C, H, W), got {tuple(images.shape)}')
    size = tuple(images.shape[2:])
    shrink = min(1.0, side / min(size))
    small = tuple(round(length * shrink) for length in size)
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        grey = F.interpolate(images.float().mean(dim=1, keepdim=True), size=small, mode='area')
        spectrum = torch.fft.fft2(grey)
        amplitude = spectrum.abs()
        least = (NOISE * amplitude.amax(dim=(2, 3), keepdim=True)).clamp_min(torch.finfo(torch.float32).tiny)
        log_amplitude = amplitude.maximum(least).log()
        average = F.avg_pool2d(F.pad(log_amplitude, (1, 1, 1, 1), mode='circular'), 3, stride=1)
        residual = spectrum * (-average).exp()  # keeps the phase
        saliency = torch.fft.ifft2(residual).abs().square()
        rows, columns = (_gaussian(length, sigma * min(small) / side, images.device) for length in small)
        saliency = F.interpolate(rows @ saliency @ columns, size=size, mode='bilinear', align_corners=False)
        flat = _span(grey) <= NOISE * grey.abs().amax(dim=(2, 3), keepdim=True)
        saliency = (saliency - saliency.amin(dim=(2, 3), keepdim=True)) / _span(saliency)
        return torch.where(flat, 0, saliency)[:, 0]


def peak_mask(saliency: Tensor, lam: Tensor) -> Tensor:
    """Return a mask that is false in one box per map, with sides ``sqrt(1 - lam)``, centred on its peak and clipped.

    Sides are rounded as in :func:`region_mask` and in the released SaliencyMix (Uddin et al., ICLR 2021).

    Args:
        saliency: (B, H, W).
        lam: (B,) requested fraction of true pixels, in [0, 1].

    Returns:
        (B, 1, H, W) bool on the device of the maps; the true fraction is at least ``lam``.
    """
    width = saliency.shape[2]
    peak = saliency.flatten(1).argmax(dim=1)
    return box_mask((peak // width, peak % width), lam, tuple(saliency.shape[1:]))


def _gaussian(length: int, sigma: float, device: torch.device) -> Tensor:
    position = torch.arange(length, device=device, dtype=torch.float32)
    return (-0.5 * ((position[:, None] - position) / sigma).square()).exp()


def _span(maps: Tensor) -> Tensor:
    low, high = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    return (high - low).clamp_min(torch.finfo(torch.float32).tiny)
