"""Tensors are created on the device of the inputs; without a device they would be on 'meta' here."""

import pytest
import torch

from mixpro_mm.functional import random_mask, region_mask, to_pixels
from mixpro_mm.functional.graphcut import seam_costs
from mixpro_mm.functional.masks import block_mask, stretch
from mixpro_mm.functional.saliency import peak_mask, spectral_residual
from mixpro_mm.functional.shuffle import shuffle_patches
from mixpro_mm.functional.transport import move_blocks, transport_plan


def inputs():
    generator = torch.Generator('cpu').manual_seed(0)
    images = torch.rand(4, 3, 32, 32, generator=generator, device='cpu')
    keep = torch.tensor([1, 2, 9, 15], device='cpu')
    grid = (torch.arange(16, device='cpu') < keep[:, None]).view(4, 1, 4, 4)
    return images, images.mean(1), keep, keep / 16, grid


CASES = {
    'random_mask': lambda images, maps, keep, lam, grid: random_mask(keep, (4, 4)),
    'region_mask': lambda images, maps, keep, lam, grid: region_mask(lam, (32, 32), align=8),
    'block_mask': lambda images, maps, keep, lam, grid: block_mask(keep, (4, 4), min_patches=2, aspect=0.3),
    'to_pixels': lambda images, maps, keep, lam, grid: to_pixels(grid, 8, (32, 32), side=5),
    'stretch': lambda images, maps, keep, lam, grid: stretch(grid, (33, 35)),
    'shuffle_patches': lambda images, maps, keep, lam, grid: shuffle_patches(images, stretch(grid, (32, 32)), 8),
    'spectral_residual': lambda images, maps, keep, lam, grid: spectral_residual(images),
    'peak_mask': lambda images, maps, keep, lam, grid: peak_mask(maps, lam),
    'transport': lambda images, maps, keep, lam, grid: move_blocks(
        images, transport_plan(maps[:, ::8, ::8], grid[:, 0], 0.8), (4, 4)
    ),
    'seam_costs': lambda images, maps, keep, lam, grid: seam_costs(images, keep % 4, (4, 4))[0],
}


@pytest.mark.parametrize('name', CASES)
def test_tensors_are_created_on_the_device_of_the_inputs(name):
    runs = []
    for device in ('cpu', 'meta'):
        torch.manual_seed(0)
        with torch.device(device):
            runs.append(CASES[name](*inputs()))
    assert runs[1].device.type == 'cpu' and torch.equal(*runs)


@pytest.mark.parametrize('draw', [random_mask, block_mask, region_mask])
def test_masks_are_created_on_the_given_device(draw):
    """Counts and centres stay on the CPU, without synchronisation."""
    settings = dict(min_patches=2, aspect=0.3) if draw is block_mask else {}
    wanted = torch.tensor([0.3, 0.7]) if draw is region_mask else torch.tensor([3, 7])
    mask = draw(wanted, (4, 4), device='meta', **settings)
    assert mask.shape == (2, 1, 4, 4) and mask.device.type == 'meta'
