"""Where an image is out of the ordinary, from its spectrum alone (Hou & Zhang, Saliency Detection, CVPR 2007)."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from mixpro_mm.functional.masks import box_mask

__all__ = ['peak_mask', 'spectral_residual']

NOISE = 1e-6  # share of the largest value below which fp32 holds little but rounding; its logarithm is arbitrary


def spectral_residual(images: Tensor, *, side: int = 64, sigma: float = 2.5) -> Tensor:
    """Saliency of every pixel by the spectral residual, on the device of the images and without gradient.

    Grey is the mean of the channels, so normalised images will do. Of the log amplitude its average over 3 x 3
    frequencies is taken away, the phase is kept; the squared modulus of what that transforms back to, smoothed by a
    Gaussian, is the map. Side and sigma are those of the authors' demonstration, which cuts the Gaussian at 10 x 10
    pixels and repeats the edge of the spectrum for the average; here it is whole, and the spectrum goes round, being
    periodic. Smoothing sees zeros beyond the image, in both.

    Args:
        images: (B, C, H, W) in any float dtype; computed in fp32.
        side: Pixels of the shorter side at which the spectrum is taken; smaller images keep their size.
        sigma: Width of the Gaussian in pixels if the shorter side has ``side``, less in proportion if it is shorter.

    Returns:
        (B, H, W) fp32, every map stretched to [0, 1]; zero everywhere for a constant image.

    Raises:
        ValueError: if the images have another shape.
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
        floor = (NOISE * amplitude.amax(dim=(2, 3), keepdim=True)).clamp_min(torch.finfo(torch.float32).tiny)
        log_amplitude = amplitude.maximum(floor).log()
        average = F.avg_pool2d(F.pad(log_amplitude, (1, 1, 1, 1), mode='circular'), 3, stride=1)
        residual = spectrum * (-average).exp()  # which keeps the phase
        saliency = torch.fft.ifft2(residual).abs().square()
        rows, columns = (_gaussian(length, sigma * min(small) / side, images.device) for length in small)
        saliency = F.interpolate(rows @ saliency @ columns, size=size, mode='bilinear', align_corners=False)
        flat = _span(grey) <= NOISE * grey.abs().amax(dim=(2, 3), keepdim=True)
        saliency = (saliency - saliency.amin(dim=(2, 3), keepdim=True)) / _span(saliency)
        return torch.where(flat, 0, saliency)[:, 0]


def peak_mask(saliency: Tensor, lam: Tensor) -> Tensor:
    """False inside one box per map of sides ``sqrt(1 - lam)``, centred on the peak of the map and clipped.

    Sides are rounded as those of ``region_mask``, which are those of the released SaliencyMix (Uddin et al.,
    SaliencyMix, ICLR 2021); the true share of a sample is therefore at least ``lam``.

    Args:
        saliency: (B, H, W); of equal peaks one is taken.
        lam: (B,) wanted share of true pixels, in [0, 1].

    Returns:
        (B, 1, H, W) bool on the device of the maps.
    """
    width = saliency.shape[2]
    peak = saliency.flatten(1).argmax(dim=1)
    return box_mask((peak // width, peak % width), lam, tuple(saliency.shape[1:]))


def _gaussian(length: int, sigma: float, device: torch.device) -> Tensor:
    """(length, length) weights of every position on every other; their common factor cancels."""
    position = torch.arange(length, device=device, dtype=torch.float32)
    return (-0.5 * ((position[:, None] - position) / sigma).square()).exp()


def _span(maps: Tensor) -> Tensor:
    """(B, 1, 1, 1) largest less smallest value, above zero."""
    low, high = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    return (high - low).clamp_min(torch.finfo(torch.float32).tiny)
