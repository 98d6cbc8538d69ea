"""Tensors are created on the device of the inputs; without a device they would be on 'meta' here."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mixpro_mm.functional import random_mask, region_mask, to_pixels
from mixpro_mm.functional.graphcut import seam_costs
from mixpro_mm.functional.masks import block_mask, stretch
from mixpro_mm.functional.saliency import peak_mask, spectral_residual
from mixpro_mm.functional.shuffle import shuffle_patches
from mixpro_mm.functional.transport import move_blocks, transport_plan

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
KEEP = torch.tensor([1, 2, 9, 15])
CELLS = (torch.arange(16) < KEEP[:, None]).view(4, 1, 4, 4)
BLOCKS = dict(min_patches=2, aspect=0.3)
CASES = {
    'random_mask': lambda: random_mask(KEEP, (4, 4)),
    'region_mask': lambda: region_mask(KEEP / 16, (32, 32), align=8),
    'block_mask': lambda: block_mask(KEEP, (4, 4), **BLOCKS),
    'to_pixels': lambda: to_pixels(CELLS, 8, (32, 32), side=5),
    'stretch': lambda: stretch(CELLS, (33, 35)),
    'shuffle_patches': lambda: shuffle_patches(IMAGES, stretch(CELLS, (32, 32)), 8),
    'spectral_residual': lambda: spectral_residual(IMAGES),
    'peak_mask': lambda: peak_mask(IMAGES.mean(1), KEEP / 16),
    'transport': lambda: move_blocks(IMAGES, transport_plan(IMAGES[:, 0, ::8, ::8], CELLS[:, 0], 0.8), (4, 4)),
    'seam_costs': lambda: seam_costs(IMAGES, KEEP % 4, (4, 4))[0],
}


@pytest.mark.parametrize('name', CASES)
def test_tensors_are_created_on_the_device_of_the_inputs(name):
    runs = []
    for device in ('cpu', 'meta'):
        torch.manual_seed(0)
        with torch.device(device):
            runs.append(CASES[name]())
    assert runs[1].device.type == 'cpu' and torch.equal(*runs)


class Copies(TorchDispatchMode):
    """Collects whether copies to 'meta' are non-blocking."""

    def __enter__(self):
        self.non_blocking = []
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._to_copy.default and str(kwargs.get('device')) == 'meta':
            self.non_blocking.append(kwargs.get('non_blocking', False))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(('draw', 'settings'), [(random_mask, {}), (block_mask, BLOCKS), (region_mask, {})])
def test_masks_are_created_on_the_given_device(draw, settings):
    """Counts and centres stay on the CPU, without synchronisation."""
    with Copies() as copies:
        mask = draw(torch.tensor([0.3, 0.7] if draw is region_mask else [3, 7]), (4, 4), device='meta', **settings)
    assert mask.shape == (2, 1, 4, 4) and mask.device.type == 'meta'
    assert copies.non_blocking == [True] * (4 if draw is region_mask else 1)
