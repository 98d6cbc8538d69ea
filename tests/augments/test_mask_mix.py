import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.registry import BATCH_AUGMENTS as MMPRETRAIN_BATCH_AUGMENTS

from mixpro_mm.augments import MaskMix, MixPro, RegionMix
from mixpro_mm.mixing.masks import fitting
from mixpro_mm.registry import BATCH_AUGMENTS


def unique_batch(batch, size, channels=3):
    """Image b is filled with the number b and labelled b, so every pixel tells where it came from."""
    images = torch.arange(batch).float().view(-1, 1, 1, 1).expand(-1, channels, *size).clone()
    return images, F.one_hot(torch.arange(batch), batch).float()


METHODS = {
    'mask': lambda **kw: MaskMix(patch_size=8, mask_scale=2, **kw),
    'moved': lambda **kw: MaskMix(patch_size=8, mask_scale=2, offset=5, **kw),
    'shrunken': lambda **kw: MixPro(patch_size=8, mask_scale=2, unit=0.6, **kw),
    'shuffled': lambda **kw: MaskMix(patch_size=8, mask_scale=2, shuffle='both', **kw),
    'all': lambda **kw: MaskMix(patch_size=8, mask_scale=2, offset=3, unit=0.8, shuffle='both', prob=0.7, **kw),
    'region': RegionMix,
}


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('partner', ['permutation', 'flip'])
@pytest.mark.parametrize('ratio', ['batch', 'sample'])
@pytest.mark.parametrize('batch', [1, 2, 7, 16])
def test_every_row_has_exactly_the_labels_its_pixels_show(method, partner, ratio, batch):
    torch.manual_seed(batch)
    for _ in range(5):
        images, scores = unique_batch(batch, (64, 48))
        mixed, blended = METHODS[method](partner=partner, ratio=ratio)(images, scores)
        assert (mixed == mixed[:, :1]).all()  # one mask for all channels
        for row, label in zip(mixed[:, 0], blended, strict=True):
            shares = torch.bincount(row.flatten().long(), minlength=batch) / row.numel()
            assert torch.allclose(label, shares, atol=1e-6)


@pytest.mark.parametrize('patch_size', [16, 14])
@pytest.mark.parametrize('mask_scale', [1, 2, 4, 7])
@pytest.mark.parametrize('size', [(224, 224), (224, 160), (196, 338)])
def test_lam_area_is_pixel_exact(patch_size, mask_scale, size):
    torch.manual_seed(0)
    images, scores = unique_batch(6, size, channels=1)
    augment = MaskMix(patch_size=patch_size, mask_scale=mask_scale, ratio='sample', partner='flip')
    mixed, _ = augment(images, scores)
    target = augment.pop_target()
    own = (mixed == images).flatten(1).sum(1)  # partner='flip' of an even batch: nobody is their own partner
    assert torch.equal(target.lam_area, torch.tensor([count / (size[0] * size[1]) for count in own.tolist()]))
    cell = patch_size * mask_scale
    for sample in target.mask[:, 0]:  # constant inside every cell, hence every image patch comes from one image
        for top, left in itertools.product(range(0, size[0], cell), range(0, size[1], cell)):
            assert len(sample[top : top + cell, left : left + cell].unique()) == 1


@pytest.mark.parametrize(('rounding', 'operation'), [('floor', math.floor), ('ceil', math.ceil)])
def test_number_of_cells_follows_tau(rounding, operation, monkeypatch):
    augment = MaskMix(patch_size=16, mask_scale=2, rounding=rounding)
    for tau in (0.0, 0.01, 0.5, 0.99, 1.0):
        monkeypatch.setattr(augment, 'draw_ratio', lambda batch, tau=tau: torch.full((batch,), tau))
        images, scores = unique_batch(3, (224, 224))
        augment(images, scores)
        cells = augment.pop_target().mask[:, 0, ::32, ::32].flatten(1).sum(1)
        assert cells.tolist() == [operation(49 * tau)] * 3


@pytest.mark.parametrize('ratio', ['batch', 'sample'])
@pytest.mark.parametrize('cls', [MaskMix, MixPro])
def test_without_options_nothing_else_is_drawn(cls, ratio):
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


@pytest.mark.parametrize(
    ('offset', 'rows', 'columns'),
    [
        (0, [16, 16, 16], [16, 16, 8]),
        (5, [5, 16, 16, 11], [5, 16, 16, 3]),  # one more of each, cut at both ends
        (12, [12, 16, 16, 4], [12, 16, 12]),  # as many columns as before suffice
    ],
)
def test_offset_moves_the_cells_and_counts_the_cut_ones(offset, rows, columns, monkeypatch):
    torch.manual_seed(0)
    augment = MaskMix(patch_size=8, mask_scale=2, offset=offset)
    for tau in (0.0, 0.3, 0.5, 0.99, 1.0):
        monkeypatch.setattr(augment, 'draw_ratio', lambda batch, tau=tau: torch.full((batch,), tau))
        augment(*unique_batch(100, (48, 40), channels=1))
        mask = augment.pop_target().mask[:, 0]
        cells = [part for strip in mask.split(rows, dim=1) for part in strip.split(columns, dim=2)]
        assert len(cells) == len(rows) * len(columns)
        own = torch.stack([cell.float().mean((1, 2)) for cell in cells], dim=1)
        assert set(own.unique().tolist()) <= {0.0, 1.0}
        assert own.sum(1).tolist() == [math.floor(len(cells) * tau)] * 100
        assert tau in (0, 1) or own.mean(0).gt(0).all()  # every cell is drawn at times, the cut ones too


@pytest.mark.parametrize(
    ('unit', 'first', 'side'), [(0.5, 4, 8), (0.25, 6, 4), (0.55, 3, 9), (0.04, 7, 1), (0.99, 0, 16)]
)
def test_unit_shrinks_what_is_pasted(unit, first, side, monkeypatch):
    augment = MaskMix(patch_size=8, mask_scale=2, unit=unit, partner='flip')
    monkeypatch.setattr(augment, 'draw_ratio', lambda batch: torch.full((batch,), 0.0))
    images, scores = unique_batch(2, (32, 48))
    mixed, blended = augment(images, scores)
    expected = torch.zeros(32, 48)
    for top, left in itertools.product(range(0, 32, 16), range(0, 48, 16)):
        expected[top + first : top + first + side, left + first : left + first + side] = 1
    assert torch.equal(mixed[0, 0], expected)
    assert torch.equal(mixed[1, 0], 1 - expected)
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
    assert torch.equal(labels, new_labels)
    assert torch.equal(mask, new_mask)
    patches, moved = (F.unfold(batch, 8, stride=8) for batch in (plain, mixed))
    own = F.unfold(mask.float(), 8, stride=8).bool()[:, 0]
    for sample in range(8):
        for group, takes_part in ((own[sample], which != 'pasted'), (~own[sample], which != 'canvas')):
            before, after = (one[sample][:, group].T.tolist() for one in (patches, moved))
            assert (before == after) == (not takes_part or len(before) < 2)
            assert sorted(before) == sorted(after)


def test_unmixed_samples_keep_their_patches_in_place():
    torch.manual_seed(0)
    augment = MaskMix(patch_size=8, mask_scale=2, shuffle='both', partner='flip', prob=0.5)
    images = torch.rand(32, 3, 32, 32)
    mixed, blended = augment(images, torch.eye(32))
    alone = blended.diagonal() == 1
    assert 4 < (mixed == images).flatten(1).all(1).sum() < 28
    assert torch.equal((mixed == images).flatten(1).all(1), alone)


def test_shuffling_needs_whole_patches():
    augment = MaskMix(patch_size=8, mask_scale=2, shuffle='pasted')
    with pytest.raises(ValueError, match='multiples of patch_size 8, got 36x32 pixels'):
        augment(*unique_batch(2, (36, 32)))


@pytest.mark.parametrize('method', METHODS)
def test_masks_are_drawn_where_the_images_are(method):
    images, scores = unique_batch(4, (32, 32))
    mixed, blended = METHODS[method]()(images.to('meta'), scores.to('meta'))
    assert mixed.device.type == blended.device.type == 'meta'


def test_one_tau_a_batch_or_one_a_sample():
    torch.manual_seed(0)
    counts = {}
    for ratio in ('batch', 'sample'):
        augment = MaskMix(patch_size=8, mask_scale=1, ratio=ratio)
        augment(*unique_batch(32, (64, 64)))
        counts[ratio] = augment.pop_target().lam_area.unique()
    assert len(counts['batch']) == 1
    assert len(counts['sample']) > 10


def test_alpha_is_the_parameter_of_the_beta_distribution():
    torch.manual_seed(0)
    spread = {alpha: MaskMix(alpha=alpha, ratio='sample').draw_ratio(20_000).var().item() for alpha in (0.5, 1.0, 8.0)}
    for alpha, variance in spread.items():
        assert variance == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)  # variance of Beta(a, a)


@pytest.mark.parametrize('augment', [MaskMix(patch_size=8, mask_scale=2), RegionMix()])
def test_inputs_are_never_written_to(augment):
    images, scores = unique_batch(5, (32, 32))
    copies = images.clone(), scores.clone()
    mixed, blended = augment(images, scores)
    assert torch.equal(images, copies[0])
    assert torch.equal(scores, copies[1])
    assert mixed.data_ptr() != images.data_ptr()
    assert blended.data_ptr() != scores.data_ptr()


def test_a_batch_of_one_mixes_with_itself():
    images, scores = torch.rand(1, 3, 64, 64), torch.tensor([[0.0, 1.0]])
    mixed, blended = MaskMix(patch_size=8)(images, scores)
    assert torch.equal(mixed, images)
    assert torch.equal(blended, scores)


def test_soft_multi_label_and_integer_scores():
    images = torch.rand(4, 3, 64, 64)
    multi = torch.tensor([[1.0, 1, 0], [0, 1, 1], [0.2, 0.3, 0.5], [0, 0, 0]])
    augment = MaskMix(patch_size=8, partner='flip')
    _, blended = augment(images, multi)
    lam = augment.pop_target().lam_area[:, None]
    assert torch.allclose(blended, lam * multi + (1 - lam) * multi.flip(0))
    _, blended = augment(images, F.one_hot(torch.arange(4), 4))
    assert blended.is_floating_point()
    assert torch.allclose(blended.sum(1), torch.ones(4))


def test_images_keep_dtype_and_memory_of_half_precision():
    images, scores = torch.rand(2, 3, 64, 64).bfloat16(), torch.eye(2)
    assert MaskMix(patch_size=8)(images, scores)[0].dtype == torch.bfloat16


def test_same_seed_same_mix():
    images, scores = torch.rand(8, 3, 64, 64), torch.eye(8)
    runs = []
    for _ in range(2):
        torch.manual_seed(7)
        runs.append(MixPro(patch_size=8)(images, scores))
    assert torch.equal(runs[0][0], runs[1][0])
    assert torch.equal(runs[0][1], runs[1][1])


def test_take_hands_the_target_out_once():
    augment = MaskMix(patch_size=8)
    assert augment.pop_target() is None
    augment(*unique_batch(4, (64, 64)))
    assert augment.pending
    assert augment.pop_target() is not None
    assert not augment.pending
    assert augment.pop_target() is None


def test_mixpro_insists_on_being_labelled():
    augment, batch = MixPro(patch_size=8), unique_batch(4, (64, 64))
    augment(*batch)
    with pytest.raises(RuntimeError, match=r'mixpro_mm\.LabelingHook.*or name MaskMix'):
        augment(*batch)
    augment.pop_target()
    augment(*batch)  # labelled, so training goes on
    plain = MaskMix(patch_size=8)
    plain(*batch)
    plain(*batch)  # MaskMix is content with area labels


@pytest.mark.parametrize('name', ['MaskMix', 'MixPro', 'RegionMix'])
def test_both_spellings_resolve_in_the_host(name):
    scoped = MMPRETRAIN_BATCH_AUGMENTS.get(f'mixpro_mm.{name}')
    assert scoped is MMPRETRAIN_BATCH_AUGMENTS.get(name) is BATCH_AUGMENTS.get(name)


@pytest.mark.parametrize(
    ('settings', 'sentence'),
    [
        (dict(alpha=0), 'alpha must be a finite number above 0, got 0'),
        (dict(alpha=-1.0), 'alpha must be a finite number above 0, got -1.0'),
        (dict(alpha=math.nan), 'alpha must be a finite number above 0, got nan'),
        (dict(alpha='1'), "alpha must be a finite number above 0, got '1'"),
        (dict(patch_size=0), 'patch_size must be'),
        (dict(patch_size=16, mask_scale=3.4), r'mask size 54.4 \(mask_scale 3.4 x patch_size 16\) is not a multiple'),
        (dict(patch_size=16, mask_scale=3.75), r'mask size 60 \(mask_scale 3.75 x patch_size 16\) is not a multiple'),
        (dict(rounding='round'), "rounding 'round' is unknown; known: ceil, floor"),
        (dict(partner='roll'), "partner 'roll' is unknown; known: flip, permutation"),
        (dict(ratio='pixel'), "ratio 'pixel' is unknown; known: batch, sample"),
        (dict(prob=0), 'prob must be a finite number above 0, got 0'),
        (dict(prob=1.5), 'prob must be at most 1, got 1.5'),
        (dict(offset=-1), 'offset must be a whole number of at least 0, got -1'),
        (dict(offset=2.5), r'offset must be a whole number of at least 0, got 2\.5'),
        (dict(offset=True), 'offset must be a whole number of at least 0, got True'),
        (dict(offset=None), 'offset must be a whole number of at least 0, got None'),
        (dict(offset=64), 'offset 64 must be smaller than the mask size 64'),
        (dict(unit=0), 'unit must be a finite number above 0, got 0'),
        (dict(unit=1.1), r'unit must be at most 1, got 1\.1'),
        (dict(unit=0.007), r'unit 0\.007 of the mask size 64 is less than half a pixel'),
        (dict(shuffle='all'), "shuffle 'all' is unknown; known: both, canvas, none, pasted"),
        (dict(shuffle=None), 'shuffle None is unknown'),
    ],
)
def test_bad_arguments_are_one_sentence_at_construction(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        MaskMix(**settings)


@pytest.mark.parametrize('size', [(32, 32), (224, 48), (64, 64)])
def test_a_mask_larger_than_the_image_is_one_sentence(size):
    with pytest.raises(ValueError, match=rf'mask size 64 .* image of {size[0]}x{size[1]} pixels'):
        MaskMix()(*unique_batch(2, size))


def test_shapes_that_do_not_fit_are_one_sentence():
    with pytest.raises(ValueError, match=r'MaskMix mixes images .* got \(2, 3, 64, 64\) and \(2,\)'):
        MaskMix(patch_size=8)(torch.rand(2, 3, 64, 64), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match='RegionMix mixes images'):
        RegionMix()(torch.rand(2, 3, 64, 64), torch.eye(3))


def test_few_cells_are_told_with_what_fits():
    """128 px hold 2 x 2 cells of 64 px: floor(4 tau) is 0 in a quarter of the draws."""
    torch.manual_seed(0)
    augment = MaskMix(ratio='sample', partner='flip')
    said = augment.few_cells((128, 128))
    assert '2x2 cells of 64 px in an image of 128x128 pixels' in said and '1 draw in 4' in said
    assert said.endswith('set patch_size=16 and mask_scale=2')
    swapped = torch.cat([~augment.draw_mask(torch.empty(100, 3, 128, 128), None).flatten(1).any(1) for _ in range(20)])
    assert swapped.float().mean().item() == pytest.approx(1 / 4, abs=0.03)
    assert MaskMix().few_cells((224, 224)) is MaskMix(patch_size=4, mask_scale=2).few_cells((32, 32)) is None


@pytest.mark.parametrize(
    ('size', 'patch_size', 'fit'),
    [(64, 16, (16, 1)), (128, 16, (16, 2)), (32, 16, (4, 2)), (96, 8, (8, 3)), (7, 4, (1, 1))],
)
def test_what_fits_leaves_at_least_four_cells_a_side(size, patch_size, fit):
    assert fitting((size, size), patch_size) == fit
    assert size // (fit[0] * fit[1]) >= 4 and MaskMix(*(1.0, *fit)).few_cells((size, size)) is None


def test_a_box_of_one_patch_as_large_as_the_image_is_refused():
    with pytest.raises(ValueError, match='align 32 must lie in 1 to 31 for an image of 32x32 pixels'):
        RegionMix(align=32)(*unique_batch(2, (32, 32)))
