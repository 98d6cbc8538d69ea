import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.registry import BATCH_AUGMENTS as MMPRETRAIN_BATCH_AUGMENTS

from mixpro_mm.augments import MaskMix, MixPro, RegionMix
from mixpro_mm.registry import BATCH_AUGMENTS


def unique_batch(batch, size, channels=3):
    """Image b is filled with the number b and labelled b, so every pixel tells where it came from."""
    images = torch.arange(batch).float().view(-1, 1, 1, 1).expand(-1, channels, *size).clone()
    return images, F.one_hot(torch.arange(batch), batch).float()


METHODS = {
    'mask': lambda **kw: MaskMix(patch_size=8, mask_scale=2, **kw),
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
    target = augment.take()
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
        cells = augment.take().mask[:, 0, ::32, ::32].flatten(1).sum(1)
        assert cells.tolist() == [operation(49 * tau)] * 3


def test_one_tau_a_batch_or_one_a_sample():
    torch.manual_seed(0)
    counts = {}
    for ratio in ('batch', 'sample'):
        augment = MaskMix(patch_size=8, mask_scale=1, ratio=ratio)
        augment(*unique_batch(32, (64, 64)))
        counts[ratio] = augment.take().lam_area.unique()
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
    lam = augment.take().lam_area[:, None]
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
    assert augment.take() is None
    augment(*unique_batch(4, (64, 64)))
    assert augment.pending
    assert augment.take() is not None
    assert not augment.pending
    assert augment.take() is None


def test_mixpro_insists_on_being_labelled():
    augment, batch = MixPro(patch_size=8), unique_batch(4, (64, 64))
    augment(*batch)
    with pytest.raises(RuntimeError, match=r'mixpro_mm\.LabelingHook.*or name MaskMix'):
        augment(*batch)
    augment.take()
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
