import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from mixpro_mm.functional.saliency import peak_mask, spectral_residual


def by_hand(image, side=64, sigma=2.5):
    """Compute the spectral residual of one image (C, H, W) in numpy and double precision."""
    grey = np.asarray(image, dtype=np.float64).mean(axis=0)
    size, shrink = grey.shape, min(1, side / min(grey.shape))
    small = [round(length * shrink) for length in size]
    rows, columns = (
        [slice(i * long // short, -(-(i + 1) * long // short)) for i in range(short)]
        for long, short in zip(size, small, strict=True)
    )
    grey = np.array([[grey[r, c].mean() for c in columns] for r in rows])
    spectrum = np.fft.fft2(grey)
    log = np.log(np.abs(spectrum))
    shifted = [np.roll(log, (y, x), axis=(0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    residual = log - sum(shifted) / 9
    saliency = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    distances = [np.subtract.outer(range(length), range(length)) ** 2 for length in small]
    kernels = [np.exp(-distance / (2 * (sigma * min(small) / side) ** 2)) for distance in distances]
    smooth = kernels[0] @ saliency @ kernels[1]
    places = [(np.arange(long) + 0.5) * short / long - 0.5 for long, short in zip(size, small, strict=True)]
    result = map_coordinates(smooth, np.meshgrid(*places, indexing='ij'), order=1, mode='nearest')
    return (result - result.min()) / (result.max() - result.min())


@pytest.mark.parametrize(
    ('size', 'settings'),
    [((24, 31), {}), ((70, 83), dict(side=16)), ((40, 25), dict(side=20, sigma=1.0)), ((66, 64), dict(side=32))],
)
def test_it_agrees_with_a_version_in_numpy(size, settings):
    torch.manual_seed(0)
    images = torch.randn(2, 3, *size).cumsum(3) * 0.3 + torch.randn(2, 3, *size)
    maps = spectral_residual(images, **settings)
    for image, saliency in zip(images, maps, strict=True):
        assert np.abs(by_hand(image, **settings) - saliency.numpy()).max() < 1e-5


@pytest.mark.parametrize('value', [0.0, 0.7, -2.1, 1e-30, 1e20])
def test_a_constant_image_has_a_zero_map(value):
    maps = spectral_residual(torch.stack([torch.full((3, 70, 50), value), torch.rand(3, 70, 50)]))
    assert torch.equal(maps[0], torch.zeros(70, 50)) and maps[1].aminmax() == (0, 1)


def test_rounding_errors_are_ignored():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing='ij')
    blob = (-((y - 20) ** 2 + (x - 41) ** 2) / 32).exp()  # its high frequencies are below single precision
    images = torch.stack([blob, blob * 3.7, blob * 0.09])[:, None]
    maps = spectral_residual(images)
    assert torch.allclose(maps, maps[:1].expand(3, -1, -1), atol=0.005)
    assert {int(saliency.argmax()) for saliency in maps} == {20 * 64 + 41}


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_it_computes_in_single_precision_whatever_comes_in(dtype):
    images = torch.rand(1, 3, 48, 48).to(dtype)
    copy = images.clone()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        maps = spectral_residual(images.requires_grad_())
    assert maps.dtype == torch.float32 and not maps.requires_grad
    assert torch.equal(maps, spectral_residual(images.float())) and torch.equal(images, copy)
    with pytest.raises(ValueError, match=r'needs images \(B, C, H, W\), got \(3, 8, 8\)'):
        spectral_residual(torch.rand(3, 8, 8))


def test_boxes_worked_out_by_hand():
    saliency, peaks = torch.rand(5, 8, 10) * 0.9, [(3, 5), (0, 9), (7, 0), (4, 4), (4, 4)]
    for one, peak in zip(saliency, peaks, strict=True):
        one[peak] = 1.0
    mask = peak_mask(saliency, torch.tensor([0.75, 0.75, 0.0, 1.0, 0.9]))
    boxes = [(slice(1, 5), slice(3, 7)), (slice(0, 2), slice(7, 10)), (slice(3, 8), slice(0, 5))]
    boxes += [(slice(0, 0), slice(0, 0)), (slice(3, 5), slice(3, 5))]  # sqrt(0.1) * 10 = 3.16: 3 // 2 to either side
    wanted = torch.ones(5, 1, 8, 10, dtype=torch.bool)
    for one, box in zip(wanted[:, 0], boxes, strict=True):
        one[box] = False
    assert torch.equal(mask, wanted)
