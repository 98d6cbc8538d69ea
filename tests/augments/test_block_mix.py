import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.registry import BATCH_AUGMENTS as MMPRETRAIN_BATCH_AUGMENTS

from mixpro_mm.augments.block_mix import BlockMix
from mixpro_mm.mixing.masks import block_mask


def unique_batch(batch, size, channels=1):
    """Image b is filled with the number b and labelled b, so every pixel tells where it came from."""
    images = torch.arange(batch).float().view(-1, 1, 1, 1).expand(-1, channels, *size).clone()
    return images, F.one_hot(torch.arange(batch), batch).float()


def labels_fit(mixed, blended):
    for row, label in zip(mixed[:, 0], blended, strict=True):
        shares = torch.bincount(row.flatten().long(), minlength=len(mixed)) / row.numel()
        assert torch.allclose(label, shares, atol=1e-6)


@pytest.mark.parametrize('partner', ['permutation', 'flip'])
@pytest.mark.parametrize('ratio', ['batch', 'sample'])
@pytest.mark.parametrize('batch', [1, 2, 7])
@pytest.mark.parametrize('prob', [1.0, 0.5])
def test_every_row_has_exactly_the_labels_its_pixels_show(partner, ratio, batch, prob):
    torch.manual_seed(batch)
    augment = BlockMix(patch_size=4, min_patches=4, partner=partner, ratio=ratio, prob=prob)
    for _ in range(5):
        images, scores = unique_batch(batch, (44, 33), channels=2)
        mixed, blended = augment(images, scores)
        assert (mixed == mixed[:, :1]).all()  # one mask for all channels
        labels_fit(mixed, blended)
        assert torch.equal(images, unique_batch(batch, (44, 33), channels=2)[0])


@pytest.mark.parametrize(('rounding', 'operation'), [('floor', math.floor), ('ceil', math.ceil)])
def test_number_of_own_patches_follows_tau(rounding, operation, monkeypatch):
    torch.manual_seed(0)
    augment = BlockMix(patch_size=8, min_patches=5, rounding=rounding)
    for tau in (0.0, 0.01, 0.37, 0.5, 0.99, 1.0):
        monkeypatch.setattr(augment, 'draw_ratio', lambda batch, tau=tau: torch.full((batch,), tau))
        mixed, blended = augment(*unique_batch(5, (60, 80)))
        labels_fit(mixed, blended)
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


def test_defaults_are_those_of_beit():
    torch.manual_seed(4)
    augment = BlockMix()
    augment(*unique_batch(4, (224, 224)))
    mask = augment.pop_target().mask
    torch.manual_seed(4)
    torch.randperm(4)
    count = 196 - int(196 * torch.distributions.Beta(1.0, 1.0).sample((1,)))
    blocks = block_mask(torch.full((4,), count), (14, 14), min_patches=16, aspect=0.3)
    assert torch.equal(~mask[:, :, ::16, ::16], blocks)


def test_one_tau_a_batch_or_one_a_sample():
    torch.manual_seed(0)
    for ratio, least, most in (('batch', 1, 1), ('sample', 8, 64)):
        augment = BlockMix(patch_size=4, min_patches=4, ratio=ratio)
        augment(*unique_batch(64, (36, 36)))
        mask = augment.pop_target().mask.flatten(1)
        assert least <= len(mask.sum(1).unique()) <= most
        assert len(mask.unique(dim=0)) > 8  # the places differ even where tau does not


def test_same_seed_same_mix():
    images, scores = torch.rand(8, 3, 32, 32).half(), torch.eye(8)
    runs = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        runs.append(BlockMix(patch_size=4, min_patches=4)(images, scores))
    assert runs[0][0].dtype == torch.half
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][0], runs[2][0])


def test_masks_are_drawn_where_the_images_are():
    images, scores = unique_batch(4, (32, 32))
    mixed, blended = BlockMix(patch_size=4, min_patches=4)(images.to('meta'), scores.to('meta'))
    assert mixed.device.type == blended.device.type == 'meta'


def test_both_spellings_resolve_in_the_host():
    assert MMPRETRAIN_BATCH_AUGMENTS.get('mixpro_mm.BlockMix') is MMPRETRAIN_BATCH_AUGMENTS.get('BlockMix') is BlockMix


@pytest.mark.parametrize(
    ('settings', 'sentence'),
    [
        (dict(patch_size=0), 'patch_size must be a whole number of at least 1, got 0'),
        (dict(patch_size=16.0), r'patch_size must be a whole number of at least 1, got 16\.0'),
        (dict(min_patches=0), 'min_patches must be a whole number of at least 1, got 0'),
        (dict(min_patches=1.5), r'min_patches must be a whole number of at least 1, got 1\.5'),
        (dict(aspect=0), 'aspect must be a finite number above 0, got 0'),
        (dict(aspect=3.3), r'aspect must be at most 1, got 3\.3'),
        (dict(alpha=0), 'alpha must be a finite number above 0, got 0'),
        (dict(rounding='round'), "rounding 'round' is unknown; known: ceil, floor"),
        (dict(partner='roll'), "partner 'roll' is unknown; known: flip, permutation"),
        (dict(ratio='pixel'), "ratio 'pixel' is unknown; known: batch, sample"),
        (dict(prob=1.5), 'prob must be at most 1, got 1.5'),
    ],
)
def test_bad_arguments_are_one_sentence_at_construction(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        BlockMix(**settings)


@pytest.mark.parametrize('size', [(16, 16), (15, 40), (40, 8)])
def test_a_patch_larger_than_the_image_is_one_sentence(size):
    with pytest.raises(
        ValueError, match=rf'patch_size 16 leaves nothing to mix in an image of {size[0]}x{size[1]} pix'
    ):
        BlockMix()(*unique_batch(2, size))
    BlockMix()(*unique_batch(2, (16, 17)))
