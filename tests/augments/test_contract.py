"""Properties shared by all mixing methods."""

import copy
import inspect
import math
import pickle

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.registry import BATCH_AUGMENTS as HOST_BATCH_AUGMENTS
from scipy.stats import beta

from mixpro_mm.augments import MixAugment
from mixpro_mm.registry import BATCH_AUGMENTS
from tests import micro
from tests.augments.kit import EXTRACTOR
from tests.micro import CLASSES

SHIFTED = dict(patch_size=8, mask_scale=3, offset=3, unit=0.8, ratio='sample', rounding='ceil')
METHODS = dict(
    RegionMix=[dict(), dict(align=16, ratio='sample')],
    MaskMix=[dict(mask_scale=2), dict(mask_scale=1, shuffle='both'), SHIFTED],
    MixPro=[dict(patch_size=16, mask_scale=1)],
    BlockMix=[dict(patch_size=16, min_patches=2), dict(patch_size=12, min_patches=4, ratio='sample')],
    GridMix=[dict(grid=3), dict(grid=5, ratio='sample')],
    PatchMix=[dict(grid=3)],
    SaliencyMix=[dict(), dict(ratio='sample')],
    AttentiveCutMix=[dict(extractor=EXTRACTOR, checkpoint=False, grid=4, top_k=5)],
    PuzzleMix=[dict(blocks=(2, 4)), dict(blocks=(4,), transport=False)],
    TokenMix=[dict(patch_size=16, teacher=EXTRACTOR, checkpoint=False), dict(patch_size=16, teacher='ema')],
    SMMix=[dict(patch_size=16, sides=(1, 2))],
)
CASES = [pytest.param(name, case, id=f'{name}-{n}') for name, cases in METHODS.items() for n, case in enumerate(cases)]
IN_THE_MODEL = {'ManifoldMixup', 'MixToken'}  # see test_hidden_mix.py
OWN_WEIGHTS = ('TokenMix',)  # labels are not areas
SIZES = [(64, 64), (64, 96)]


@pytest.fixture(scope='module')
def classifiers():
    """Return a small vision transformer and a second one as its average for each image size."""
    return {size: [micro.classifier(img_size=size, drop_path_rate=0.5).train() for _ in range(2)] for size in SIZES}


def built(name, case, classifiers, size, **kwargs):
    augment = BATCH_AUGMENTS.build(dict(type=name, **{**copy.deepcopy(case), **kwargs}))
    augment.bind(*classifiers[size])
    return augment


def numbered(batch, size, dtype=torch.float32):
    """Return images whose first channel is 1 + b, which identifies the image of each pixel."""
    generator = torch.Generator().manual_seed(batch)
    images = torch.randn(batch, 3, *size, generator=generator)
    images[:, 0] = 1 + torch.arange(batch).view(-1, 1, 1)
    return images.to(dtype), F.one_hot(torch.arange(batch) % CLASSES, CLASSES).float()


def test_every_method_is_registered_and_tested_here():
    ours = {name: cls for name, cls in HOST_BATCH_AUGMENTS.module_dict.items() if issubclass(cls, MixAugment)}
    assert ours.keys() == set(METHODS) | IN_THE_MODEL
    for name, cls in ours.items():
        assert HOST_BATCH_AUGMENTS.get(f'mixpro_mm.{name}') is BATCH_AUGMENTS.get(name) is cls


@pytest.mark.parametrize(('name', 'case'), CASES)
@pytest.mark.parametrize('size', SIZES)
@pytest.mark.parametrize('batch', [1, 2, 7])
@pytest.mark.parametrize('partner', ['permutation', 'flip'])
def test_labels_are_those_of_the_pixels(name, case, size, batch, partner, classifiers):
    torch.manual_seed(batch)
    augment = built(name, case, classifiers, size, partner=partner)
    for _ in range(3):
        images, scores = numbered(batch, size)
        mixed, blended = augment(images, scores)
        assert all(map(torch.equal, (images, scores), numbered(batch, size)))  # not written to
        target = augment.pop_target()
        owner = mixed[:, 0].round().long() - 1
        for b in range(batch):
            others = owner[b][owner[b] != b].unique()
            assert len(others) <= 1
            assert torch.equal(target.scores[b], scores[b])
            if len(others):
                assert torch.equal(target.partner_scores[b], scores[others[0]])
            if (target.partner_scores[b] != scores[b]).any():
                own = (owner[b] == b).float().mean().item()
                assert target.lam_area[b].item() == pytest.approx(own, abs=1e-6)
                assert torch.equal(target.mask[b, 0], owner[b] == b)
            assert set(blended[b].nonzero().flatten().tolist()) <= {n % CLASSES for n in owner[b].unique().tolist()}
            if name not in OWN_WEIGHTS:
                areas = torch.bincount(owner[b].flatten() % CLASSES, minlength=CLASSES) / owner[b].numel()
                torch.testing.assert_close(blended[b], areas, atol=1e-6, rtol=0)


@pytest.mark.parametrize(('name', 'case'), CASES)
def test_the_seed_decides_everything_and_the_target_is_read_once(name, case, classifiers):
    images, scores = numbered(6, (64, 64))
    runs = []
    for seed in (0, 0, 1, 2, 3):
        torch.manual_seed(seed)
        augment = built(name, case, classifiers, (64, 64))
        runs.append((*augment(images, scores), augment.pending, augment.pop_target().mask))
        assert not augment.pending and augment.pop_target() is None
    assert all(map(torch.equal, runs[0][:2], runs[1][:2])) and runs[0][2] is True
    assert any(not torch.equal(runs[0][0], run[0]) for run in runs[2:])
    assert any(not torch.equal(runs[0][3], run[3]) for run in runs[2:]) or name == 'SMMix'


@pytest.mark.parametrize(('name', 'case'), CASES)
def test_soft_multi_and_integer_labels_blend_by_the_same_weights(name, case, classifiers):
    images, hard = numbered(5, (64, 64))
    for scores in (torch.rand(5, CLASSES), (torch.rand(5, CLASSES) < 0.4).float(), hard.long()):
        augment = built(name, case, classifiers, (64, 64))
        _, blended = augment(images, scores)
        target = augment.pop_target()
        weights = target.weights if name in OWN_WEIGHTS else torch.stack([target.lam_area, 1 - target.lam_area], 1)
        expected = weights[:, :1] * target.scores + weights[:, 1:] * target.partner_scores
        torch.testing.assert_close(blended, expected)
        assert blended.is_floating_point() and torch.equal(target.scores, scores.float())


CELLS = [  # method, settings, rows and columns of its cells
    ('MaskMix', dict(patch_size=8, mask_scale=2), [16, 16, 16], [16, 16, 8]),
    ('MaskMix', dict(patch_size=8, mask_scale=2, offset=5), [5, 16, 16, 11], [5, 16, 16, 3]),  # cut at both ends
    ('MaskMix', dict(patch_size=8, mask_scale=2, offset=12), [12, 16, 16, 4], [12, 16, 12]),  # no further column
    ('BlockMix', dict(patch_size=9, min_patches=5), [9] * 5 + [3], [9] * 4 + [4]),
    ('GridMix', dict(), [12] * 4, [10] * 4),
    ('PatchMix', dict(), [12] * 4, [10] * 4),
    ('GridMix', dict(grid=7), [7, 7, 7, 7, 7, 7, 6], [6, 6, 6, 5, 6, 6, 5]),
]


@pytest.mark.parametrize(('rounding', 'operation'), [('floor', math.floor), ('ceil', math.ceil)])
@pytest.mark.parametrize(('name', 'case', 'rows', 'columns'), CELLS)
def test_the_number_of_cells_follows_tau(name, case, rows, columns, rounding, operation, monkeypatch):
    torch.manual_seed(0)
    augment = BATCH_AUGMENTS.build(dict(type=name, rounding=rounding, **case))
    for tau in (0.0, 0.01, 0.3, 0.5, 0.99, 1.0):
        monkeypatch.setattr(augment, 'draw_ratio', lambda batch, tau=tau: torch.full((batch,), tau))
        augment(*numbered(100, (48, 40)))
        mask = augment.pop_target().mask[:, 0]
        cells = [part for strip in mask.split(rows, dim=1) for part in strip.split(columns, dim=2)]
        own = torch.stack([cell.float().mean((1, 2)) for cell in cells], dim=1)
        assert own.shape[1] == len(rows) * len(columns) and set(own.unique().tolist()) <= {0.0, 1.0}
        assert own.sum(1).tolist() == [operation(torch.tensor(len(cells) * tau).item())] * 100
        assert tau < 0.3 or own.mean(0).gt(0).all()  # every cell is drawn at times, cropped ones too


RATIO = [('RegionMix', {}), ('SaliencyMix', {}), ('MaskMix', dict(patch_size=8, mask_scale=1))]
RATIO += [('BlockMix', dict(patch_size=4, min_patches=4)), ('GridMix', dict(grid=4))]
RATIO += [('AttentiveCutMix', dict(extractor=EXTRACTOR, checkpoint=False, top_k=None, grid=8))]


@pytest.mark.parametrize(('name', 'case'), RATIO)
def test_one_ratio_a_batch_or_one_a_sample(name, case, classifiers):
    torch.manual_seed(0)
    for ratio, least, most in (('batch', 1, 1), ('sample', 6, 32)):
        augment = built(name, case, classifiers, (64, 64), ratio=ratio)
        augment(*numbered(32, (64, 64)))
        mask = augment.pop_target().mask.flatten(1)
        assert least <= len(mask.sum(1).unique()) <= most
        assert len(mask.unique(dim=0)) > 4 or (ratio == 'batch' and name in ('RegionMix', 'SaliencyMix'))


@pytest.mark.parametrize(('name', 'case'), [RATIO[0], *RATIO[2:5]])
def test_masks_are_drawn_on_the_device_of_the_images(name, case):
    images, scores = numbered(4, (64, 64))
    mixed, blended = BATCH_AUGMENTS.build(dict(type=name, **case))(images.to('meta'), scores.to('meta'))
    assert mixed.device.type == blended.device.type == 'meta'


@pytest.mark.parametrize(
    ('name', 'case'), [('PuzzleMix', dict(blocks=(4,))), ('SMMix', dict(patch_size=16)), ('TokenMix', dict())]
)
def test_a_model_that_is_not_bound_raises_and_is_not_copied(name, case, classifiers):
    augment, batch = built(name, case, classifiers, (64, 64)), numbered(2, (64, 64))
    twins = copy.deepcopy(augment), pickle.loads(pickle.dumps(augment))
    augment(*batch)  # the original still has its model
    augment.pop_target()
    augment.unbind()
    for unbound in (augment, *twins):
        message = rf"^{name} .*dict\(type='mixpro_mm.LabelingHook'\).*labeling='AreaLabeling'"
        with pytest.raises(RuntimeError, match=message):
            unbound(*batch)
        assert not unbound.pending
        unbound.bind(*classifiers[64, 64])
        unbound(*batch)


@pytest.mark.parametrize(('name', 'case'), CASES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('device', ['cpu', pytest.param('cuda', marks=pytest.mark.cuda)])
def test_half_precision_images_stay_half_and_labels_stay_full(name, case, dtype, device, classifiers):
    torch.manual_seed(0)
    models = {(64, 64): [copy.deepcopy(model).to(device) for model in classifiers[64, 64]]}
    images, scores = (tensor.to(device) for tensor in numbered(4, (64, 64), dtype))
    with torch.autocast(device, torch.bfloat16):
        mixed, blended = built(name, case, models, (64, 64))(images, scores)
    assert (mixed.dtype, blended.dtype) == (dtype, torch.float32)
    assert mixed.device == blended.device == images.device
    assert set(mixed[:, 0].unique().tolist()) <= {1, 2, 3, 4}


@pytest.mark.parametrize(('name', 'case'), CASES)
def test_a_share_of_the_batch_stays_unmixed(name, case, classifiers):
    torch.manual_seed(0)
    images, scores = numbered(64, (64, 64))
    augment = built(name, case, classifiers, (64, 64), prob=0.5, partner='flip')  # no sample is its own partner
    mixed, blended = augment(images, scores)
    target = augment.pop_target()
    untouched = (mixed == images).flatten(1).all(1)
    assert 0.3 < untouched.float().mean() < 0.9  # a mask may happen to show nothing of the partner
    assert torch.equal(blended[untouched], scores[untouched])
    assert torch.equal(target.lam_area[untouched], torch.ones(int(untouched.sum())))


@pytest.mark.parametrize(('name', 'case'), CASES)
def test_models_are_not_changed(name, case, classifiers):
    before = copy.deepcopy(classifiers[64, 64])
    built(name, case, classifiers, (64, 64))(*numbered(4, (64, 64)))
    for model, twin in zip(classifiers[64, 64], before, strict=True):
        assert all(map(torch.equal, model.state_dict().values(), twin.state_dict().values()))
        assert [module.training for module in model.modules()] == [module.training for module in twin.modules()]
        assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(('name', 'case'), CASES)
def test_gradients_reach_both_images(name, case, classifiers):
    torch.manual_seed(0)
    images, scores = numbered(4, (64, 64))
    images.requires_grad_()
    augment = built(name, case, classifiers, (64, 64), partner='flip')
    mixed, _ = augment(images, scores)
    (gradient,) = torch.autograd.grad(mixed.sum(), images)
    if name not in ('PuzzleMix', 'SMMix'):  # these move pixels
        own = augment.pop_target().mask
        assert torch.equal(gradient.sum(1, keepdim=True), 3.0 * (own.float() + (~own).float().flip(0)))
    assert gradient.sum() == images.numel()  # every pixel shown counts once


@pytest.mark.parametrize('alpha', [0.01, 0.2, 8.0, 1e30])
def test_ratios_are_spread_as_beta_spreads_them_to_the_ends_of_the_range(alpha):
    torch.manual_seed(0)
    ratios = BATCH_AUGMENTS.build(dict(type='RegionMix', alpha=alpha, ratio='sample')).draw_ratio(20000).double()
    for low, high in ((0.01, 0.99), (0.3, 0.7), (0.49, 0.51)):
        expected = 1.0 if alpha == 1e30 else beta(alpha, alpha).cdf(high) - beta(alpha, alpha).cdf(low)
        inside = ((ratios > low) & (ratios < high)).double().mean().item()
        assert inside == pytest.approx(expected, abs=4 * (0.25 / 20000) ** 0.5)
    assert alpha == 1e30 or (ratios == 0.5).double().mean() < 1e-3


LAYER = dict(extractor=EXTRACTOR, checkpoint=False)
COMMON = [dict(partner='next'), dict(ratio='pixel'), dict(rounding='round')]
COMMON += [dict(prob=prob) for prob in (0, 1.5, math.nan, True)]
COMMON += [dict(alpha=alpha) for alpha in (0, -1, math.nan, '1', 1e-300, 1e-4, 1e31)]
WRONG = [  # the validators have tests of their own
    ('MaskMix', [dict(mask_scale=3.4), dict(mask_scale=3.75), dict(offset=-1), dict(offset=64), dict(shuffle='all')]),
    ('MaskMix', [dict(unit=1.1), dict(unit=0.007), dict(patch_size=2.5), dict(patch_size=-1)]),
    ('BlockMix', [dict(patch_size=16.0), dict(min_patches=0), dict(aspect=3.3)]),
    ('GridMix', [dict(grid=1)]),
    ('RegionMix', [dict(align=0)]),
    ('PuzzleMix', [dict(transport='no'), dict(beta=-1), dict(gamma=math.nan), dict(eta='0.2'), dict(t_eps=0)]),
    ('PuzzleMix', [dict(neigh=0), dict(blocks=()), dict(blocks=4), dict(blocks=(1, 2))]),
    ('SMMix', [dict(sides=sides) for sides in ((0, 3), (4, 3), (0.5, 3), (2, 3.5), (0.5, 0.25), (1, 2, 3), 3)]),
    ('SMMix', [dict(sides=(True, True)), dict(patch_size=0), dict(attention=dict(reading='rollout'))]),
    ('TokenMix', [dict(lam=1.5), dict(extra=-0.1), dict(lam=0.5, extra=0.5), dict(lam=1, extra=0), dict(smoothing=1)]),
    ('TokenMix', [dict(min_patches=0), dict(aspect=1.2), dict(target='kl'), dict(checkpoint='a.pth')]),
    ('TokenMix', [dict(checkpoint=False, teacher=teacher) for teacher in (dict(type=5), (0.5, 2))]),
    ('AttentiveCutMix', [LAYER | wrong for wrong in (dict(top_k=0), dict(top_k=49), dict(grid=1), dict(layer='0.9'))]),
    ('AttentiveCutMix', [dict(extractor=EXTRACTOR, checkpoint=True)]),
]


@pytest.mark.parametrize('name', METHODS)
def test_invalid_arguments_raise(name):
    """The message has the name and the value of the argument, here the last one."""
    known = inspect.signature(BATCH_AUGMENTS.get(name)).parameters
    cases = [METHODS[name][0] | wrong for wrong in COMMON if wrong.keys() <= known.keys()]
    for wrong in cases + [wrong for method, settings in WRONG if method == name for wrong in settings]:
        with pytest.raises((ValueError, TypeError)) as caught:
            BATCH_AUGMENTS.build(dict(type=name, **copy.deepcopy(wrong)))
        *_, key = wrong
        value = wrong[key].get('reading', wrong[key]) if isinstance(wrong[key], dict) else wrong[key]
        assert key in str(caught.value) and repr(value) in str(caught.value), wrong
        assert '\n' not in str(caught.value)


SMALL = [  # (method, settings, sizes refused, message, a size that fits)
    ('MaskMix', {}, [(32, 32), (224, 48), (64, 64)], 'mask size 64 .* leaves nothing to mix', None),
    ('MaskMix', dict(patch_size=8, mask_scale=2, shuffle='pasted'), [(36, 32)], 'multiples of .* 8, got', None),
    ('BlockMix', dict(patch_size=16), [(16, 16), (15, 40), (40, 8)], 'patch_size 16', (16, 17)),
    ('GridMix', dict(grid=8), [(7, 32), (32, 7)], 'grid 8', (8, 8)),
    ('RegionMix', dict(align=49), [(64, 48), (48, 64)], 'align 49 must lie in 1 to 48', (64, 50)),
    ('TokenMix', dict(patch_size=64, teacher=EXTRACTOR, checkpoint=False), [(64, 48)], 'patch_size 64', None),
    ('AttentiveCutMix', LAYER, [(6, 20)], 'a 7x7 grid', None),
    ('SMMix', dict(patch_size=64), [(64, 64)], 'patch_size 64 leaves SMMix nothing to mix on a 1x1', None),
    ('PuzzleMix', dict(blocks=(2, 4)), [(9, 12)], r'none of the blocks \(2, 4\) of PuzzleMix', None),
]


@pytest.mark.parametrize(('name', 'case', 'sizes', 'message', 'fits'), SMALL)
def test_images_that_are_too_small_raise(name, case, sizes, message, fits, classifiers):
    augment = built(name, case, classifiers, (64, 64))
    for size in sizes:
        with pytest.raises(ValueError, match=message) as caught:
            augment(*numbered(2, size))
        assert f'{size[0]}x{size[1]}' in str(caught.value) or name == 'SMMix'
    if fits:
        augment(*numbered(2, fits))


def test_shapes_that_do_not_fit_raise():
    augment = BATCH_AUGMENTS.build(dict(type='RegionMix'))
    for scores in (torch.tensor([0, 1]), torch.eye(3)):
        with pytest.raises(ValueError, match=r'^RegionMix mixes images .* got \(2, 3, 64, 64\) and \('):
            augment(torch.rand(2, 3, 64, 64), scores)
