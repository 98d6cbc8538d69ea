import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.registry import BATCH_AUGMENTS as MMPRETRAIN_BATCH_AUGMENTS

from mixpro_mm.augments.grid_mix import GridMix


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
    augment = GridMix(grid=3, partner=partner, ratio=ratio, prob=prob)
    for _ in range(5):
        images, scores = unique_batch(batch, (44, 33), channels=2)
        mixed, blended = augment(images, scores)
        assert (mixed == mixed[:, :1]).all()  # one mask for all channels
        labels_fit(mixed, blended)
        assert torch.equal(images, unique_batch(batch, (44, 33), channels=2)[0])


@pytest.mark.parametrize(('rounding', 'operation'), [('floor', math.floor), ('ceil', math.ceil)])
@pytest.mark.parametrize('size', [(32, 32), (22, 33), (7, 4)])
def test_whole_cells_come_from_one_image_as_many_as_tau_says(rounding, operation, size, monkeypatch):
    torch.manual_seed(0)
    augment = GridMix(rounding=rounding)
    borders = [[math.ceil(i * length / 4) for i in range(5)] for length in size]
    for tau in (0.0, 0.01, 0.5, 0.72, 1.0):
        monkeypatch.setattr(augment, 'draw_ratio', lambda batch, tau=tau: torch.full((batch,), tau))
        mixed, blended = augment(*unique_batch(5, size))
        labels_fit(mixed, blended)
        mask, own = augment.pop_target().mask[:, 0], torch.zeros(5)
        for (top, bottom), (left, right) in itertools.product(*map(itertools.pairwise, borders)):
            assert abs((bottom - top) - size[0] / 4) < 1
            shows = mask[:, top:bottom, left:right].flatten(1).float().mean(1)
            assert set(shows.tolist()) <= {0.0, 1.0}
            own += shows
        assert own.tolist() == [operation(16 * tau)] * 5


def test_every_cell_is_taken_equally_often(monkeypatch):
    torch.manual_seed(0)
    augment = GridMix(grid=3)
    monkeypatch.setattr(augment, 'draw_ratio', lambda batch: torch.full((batch,), 0.4))
    augment(torch.zeros(4000, 1, 3, 3), torch.ones(4000, 1))
    share = augment.pop_target().mask.float().mean(0)
    assert torch.allclose(share, torch.full((1, 3, 3), 3 / 9), atol=0.038)  # 5 standard errors


def test_one_tau_a_batch_or_one_a_sample():
    torch.manual_seed(0)
    for ratio, least, most in (('batch', 1, 1), ('sample', 8, 64)):
        augment = GridMix(grid=3, ratio=ratio)
        augment(*unique_batch(64, (36, 36)))
        mask = augment.pop_target().mask.flatten(1)
        assert least <= len(mask.sum(1).unique()) <= most
        assert len(mask.unique(dim=0)) > 8  # the places differ even where tau does not


def test_same_seed_same_mix():
    images, scores = torch.rand(8, 3, 32, 32).half(), torch.eye(8)
    runs = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        runs.append(GridMix(grid=3)(images, scores))
    assert runs[0][0].dtype == torch.half
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.equal(runs[0][1], runs[1][1])
    assert not torch.equal(runs[0][0], runs[2][0])


def test_masks_are_drawn_where_the_images_are():
    images, scores = unique_batch(4, (32, 32))
    mixed, blended = GridMix(grid=3)(images.to('meta'), scores.to('meta'))
    assert mixed.device.type == blended.device.type == 'meta'


def test_both_spellings_resolve_in_the_host():
    assert MMPRETRAIN_BATCH_AUGMENTS.get('mixpro_mm.GridMix') is MMPRETRAIN_BATCH_AUGMENTS.get('GridMix') is GridMix


@pytest.mark.parametrize(
    ('settings', 'sentence'),
    [
        (dict(grid=1), 'grid must be a whole number of at least 2, got 1'),
        (dict(grid=-4), 'grid must be a whole number of at least 2, got -4'),
        (dict(grid=4.0), r'grid must be a whole number of at least 2, got 4\.0'),
        (dict(grid=(4, 4)), r'grid must be a whole number of at least 2, got \(4, 4\)'),
        (dict(grid=True), 'grid must be a whole number of at least 2, got True'),
        (dict(alpha=0), 'alpha must be a finite number above 0, got 0'),
        (dict(rounding='round'), "rounding 'round' is unknown; known: ceil, floor"),
        (dict(partner='roll'), "partner 'roll' is unknown; known: flip, permutation"),
        (dict(ratio='pixel'), "ratio 'pixel' is unknown; known: batch, sample"),
        (dict(prob=1.5), 'prob must be at most 1, got 1.5'),
    ],
)
def test_bad_arguments_are_one_sentence_at_construction(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        GridMix(**settings)


@pytest.mark.parametrize('size', [(7, 32), (32, 7)])
def test_more_cells_than_pixels_are_one_sentence(size):
    with pytest.raises(
        ValueError, match=rf'grid 8 has more cells a side than an image of {size[0]}x{size[1]} has pixels'
    ):
        GridMix(grid=8)(*unique_batch(2, size))
    GridMix(grid=7)(*unique_batch(2, size))
