import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from mixpro_mm.augments import MaskMix, MixPro
from mixpro_mm.functional.masks import fitting
from tests.augments.kit import unique_batch


@pytest.mark.parametrize('ratio', ['batch', 'sample'])
@pytest.mark.parametrize('cls', [MaskMix, MixPro])
def test_draws_without_options(cls, ratio):
    images, scores = torch.rand(6, 3, 56, 40), torch.eye(6)
    torch.manual_seed(5)
    mixed, blended = cls(patch_size=8, mask_scale=2, ratio=ratio)(images, scores)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    index = torch.randperm(6)
    tau = torch.distributions.Beta(1.0, 1.0).sample((6,) if ratio == 'sample' else (1,)).expand(6)
    order = torch.rand(6, 4 * 3).argsort(dim=1)
    assert torch.equal(state, torch.get_rng_state())
    cells = torch.zeros(6, 4 * 3, dtype=torch.bool)
    for sample in range(6):
        cells[sample, order[sample, : int(12 * tau[sample])]] = True
    mask = F.interpolate(cells.view(6, 1, 4, 3).float(), scale_factor=16)[:, :, :56, :40].bool()
    assert torch.equal(mixed, torch.where(mask, images, images[index]))
    lam = mask.float().mean((1, 2, 3))[:, None]
    assert torch.allclose(blended, lam * scores + (1 - lam) * scores[index])


@pytest.mark.parametrize(('unit', 'first', 'side'), [(0.5, 4, 8), (0.55, 3, 9), (0.04, 7, 1), (0.99, 0, 16)])
def test_unit_shrinks_what_is_pasted(unit, first, side, monkeypatch):
    augment = MaskMix(patch_size=8, mask_scale=2, unit=unit, partner='flip')
    monkeypatch.setattr(augment, 'draw_ratio', lambda batch: torch.full((batch,), 0.0))
    images, scores = unique_batch(2, (32, 48))
    mixed, blended = augment(images, scores)
    expected = torch.zeros(32, 48)
    for top, left in itertools.product(range(0, 32, 16), range(0, 48, 16)):
        expected[top + first : top + first + side, left + first : left + first + side] = 1
    assert torch.equal(mixed[:, 0], torch.stack([expected, 1 - expected]))
    assert blended[0, 1].item() == pytest.approx(side**2 / 256)


@pytest.mark.parametrize('which', ['pasted', 'canvas', 'both'])
def test_shuffling_moves_patches_and_nothing_else(which):
    images, scores = torch.rand(8, 3, 64, 48), torch.eye(8)
    seen = {}
    for shuffle in ('none', which):
        torch.manual_seed(2)
        augment = MaskMix(patch_size=8, mask_scale=2, ratio='sample', shuffle=shuffle)
        seen[shuffle] = (*augment(images, scores), augment.pop_target().mask)
    (plain, labels, mask), (mixed, new_labels, new_mask) = seen.values()
    assert torch.equal(labels, new_labels) and torch.equal(mask, new_mask)
    patches, moved = (F.unfold(batch, 8, stride=8) for batch in (plain, mixed))
    own = F.unfold(mask.float(), 8, stride=8).bool()[:, 0]
    for sample in range(8):
        for group, takes_part in ((own[sample], which != 'pasted'), (~own[sample], which != 'canvas')):
            before, after = (one[sample][:, group].T.tolist() for one in (patches, moved))
            assert (before == after) == (not takes_part or len(before) < 2)
            assert sorted(before) == sorted(after)


def test_mixpro_requires_labeling():
    augment, batch = MixPro(patch_size=8), unique_batch(4, (64, 64))
    augment(*batch)
    with pytest.raises(RuntimeError, match=r'mixpro_mm\.LabelingHook.*or use MaskMix'):
        augment(*batch)
    augment.pop_target()
    augment(*batch)  # labelled, so training goes on


def test_few_cells_give_a_warning():
    """With 2 x 2 cells, floor(4 tau) is 0 in a quarter of the draws."""
    torch.manual_seed(0)
    augment = MaskMix(ratio='sample', partner='flip')
    said = augment.few_cells((128, 128))
    assert '2x2 cells of 64 px in an image of 128x128 pixels' in said and '1 draw in 4' in said
    assert said.endswith('set patch_size=16 and mask_scale=2')
    swapped = torch.cat([~augment.draw_mask(torch.empty(100, 3, 128, 128), None).flatten(1).any(1) for _ in range(20)])
    assert swapped.float().mean().item() == pytest.approx(1 / 4, abs=0.03)


FITS = [(224, 16, (16, 3)), (64, 16, (16, 1)), (128, 16, (16, 2)), (32, 16, (4, 2)), (96, 8, (8, 3)), (7, 4, (1, 1))]


@pytest.mark.parametrize(('size', 'patch_size', 'fit'), FITS)
def test_fitting_leaves_at_least_four_cells_per_side(size, patch_size, fit):
    assert fitting((size, size), patch_size) == fit
    assert size // (fit[0] * fit[1]) >= 4 and MaskMix(*(1.0, *fit)).few_cells((size, size)) is None
