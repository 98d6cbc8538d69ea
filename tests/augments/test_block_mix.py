import torch

from mixpro_mm.augments.block_mix import BlockMix
from mixpro_mm.functional.masks import block_mask
from tests.augments.kit import unique_batch


def test_the_partner_shows_inside_the_blocks(monkeypatch):
    augment = BlockMix(patch_size=4, min_patches=7, aspect=0.5, partner='flip')
    monkeypatch.setattr(augment, 'draw_ratio', lambda batch: torch.full((batch,), 0.75))
    images, scores = unique_batch(2, (32, 40))
    torch.manual_seed(1)
    mixed, _ = augment(images, scores)
    torch.manual_seed(1)
    blocks = block_mask(torch.tensor([20, 20]), (8, 10), min_patches=7, aspect=0.5)
    pasted = blocks.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    assert torch.equal(mixed != images, pasted.expand(-1, 3, -1, -1))
