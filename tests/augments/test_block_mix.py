import math

import pytest
import torch

from mixpro_mm.augments.block_mix import BlockMix
from mixpro_mm.functional.masks import block_mask
from tests.augments.kit import unique_batch


@pytest.mark.parametrize(('rounding', 'operation'), [('floor', math.floor), ('ceil', math.ceil)])
def test_number_of_own_patches_follows_tau(rounding, operation, monkeypatch):
    torch.manual_seed(0)
    augment = BlockMix(patch_size=8, min_patches=5, rounding=rounding)
    for tau in (0.0, 0.01, 0.37, 0.5, 0.99, 1.0):
        monkeypatch.setattr(augment, 'draw_ratio', lambda batch, tau=tau: torch.full((batch,), tau))
        augment(*unique_batch(5, (60, 80)))
        patches = [part for strip in augment.pop_target().mask.split(8, dim=2) for part in strip.split(8, dim=3)]
        own = torch.stack([patch.float().mean((1, 2, 3)) for patch in patches], dim=1)
        assert own.shape[1] == 80  # the last row is 4 pixels high and counts as well
        assert set(own.unique().tolist()) <= {0.0, 1.0}
        assert own.sum(1).tolist() == [operation(torch.tensor(80 * tau).item())] * 5


def test_the_partner_shows_inside_the_blocks(monkeypatch):
    augment = BlockMix(patch_size=4, min_patches=7, aspect=0.5, partner='flip')
    monkeypatch.setattr(augment, 'draw_ratio', lambda batch: torch.full((batch,), 0.75))
    images, scores = unique_batch(2, (32, 40))
    torch.manual_seed(1)
    mixed, _ = augment(images, scores)
    torch.manual_seed(1)
    blocks = block_mask(torch.tensor([20, 20]), (8, 10), min_patches=7, aspect=0.5)
    pasted = blocks.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    assert torch.equal(mixed != images, pasted)
    torch.manual_seed(1)
    assert not torch.equal(blocks, block_mask(torch.tensor([20, 20]), (8, 10), min_patches=16, aspect=0.3))
