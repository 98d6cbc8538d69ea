"""The gradient of roi_align on a CPU, which is computed by matrix products."""

import pytest
import torch

from mixpro_mm.utils.mmcv_ops.extension import roi_align_backward


def regions(count, dtype):
    """Draw regions in and outside of a map of 24 x 18 cells at 4 px, some without or with negative size."""
    centers = torch.rand(count, 2, dtype=dtype) * 160 - 30
    signs = torch.tensor([1, 1, 1, 0, -1])[torch.arange(count) % 5, None]
    sizes = (torch.randn(count, 2, dtype=dtype) + 3).exp() * signs
    return torch.cat((torch.randint(2, (count, 1)).to(dtype), centers - sizes / 2, centers + sizes / 2), 1)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('samples', [0, 2])
@pytest.mark.parametrize('count', [0, 40])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.float16])
def test_gradient_of_roi_align_equals_that_of_torchvision(dtype, count, samples, aligned):
    torch.manual_seed(0)
    shape, empty, full = (2, 3, 18, 24), torch.empty(0), torch.float64 if dtype == torch.float64 else torch.float32
    rois, grad, found = regions(count, full), torch.randn(count, 3, 7, 5).to(dtype), torch.full(shape, 7.0, dtype=dtype)
    sizes = dict(aligned_height=7, aligned_width=5, spatial_scale=0.25, sampling_ratio=samples, pool_mode=1)
    roi_align_backward(grad, rois, empty, empty, found, **sizes, aligned=aligned)
    expected = torch.ops.torchvision._roi_align_backward(grad.to(full), rois, 0.25, 7, 5, *shape, samples, aligned)
    torch.testing.assert_close(found, expected.to(dtype), rtol=1e-3 if dtype == torch.float16 else 1e-5, atol=1e-5)
    assert bool(found.any()) is bool(count)
