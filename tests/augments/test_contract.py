"""Properties shared by all mixing methods."""

import copy
import inspect
import math
import pickle
import re

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.registry import BATCH_AUGMENTS as HOST_BATCH_AUGMENTS
from mmpretrain.registry import MODELS
from scipy.stats import beta

from mixpro_mm.augments import MixAugment
from mixpro_mm.registry import BATCH_AUGMENTS

CLASSES = 7
EXTRACTOR = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=32),
)
METHODS = dict(
    RegionMix=[dict(), dict(align=16, ratio='sample')],
    MaskMix=[
        dict(patch_size=16, mask_scale=2),
        dict(patch_size=16, mask_scale=2, offset=5),
        dict(patch_size=16, mask_scale=2, unit=0.7),
        dict(patch_size=16, mask_scale=1, shuffle='both'),
        dict(patch_size=8, mask_scale=3, offset=3, unit=0.8, ratio='sample', rounding='ceil'),
    ],
    MixPro=[dict(patch_size=16, mask_scale=1)],
    BlockMix=[dict(patch_size=16, min_patches=2), dict(patch_size=12, min_patches=4, ratio='sample')],
    GridMix=[dict(grid=3), dict(grid=5, ratio='sample')],
    SaliencyMix=[dict(), dict(ratio='sample')],
    AttentiveCutMix=[dict(extractor=EXTRACTOR, checkpoint=False, grid=4, top_k=5)],
    PuzzleMix=[dict(blocks=(2, 4)), dict(blocks=(4,), transport=False)],
    TokenMix=[dict(patch_size=16, teacher=EXTRACTOR, checkpoint=False), dict(patch_size=16, teacher='ema')],
    SMMix=[dict(patch_size=16, sides=(1, 2))],
)
CASES = [pytest.param(name, case, id=f'{name}-{n}') for name, cases in METHODS.items() for n, case in enumerate(cases)]
FIRST = [pytest.param(name, cases[0], id=name) for name, cases in METHODS.items()]
OWN_WEIGHTS = ('TokenMix',)  # labels are not areas
SIZES = [(64, 64), (64, 96)]


@pytest.fixture(scope='module')
def classifiers():
    """Return a small vision transformer and a second one as its average for each image size."""
    torch.manual_seed(0)
    arch = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=16)
    return {
        size: [
            MODELS.build(
                dict(
                    type='ImageClassifier',
                    backbone=dict(
                        type='VisionTransformer', arch=arch, img_size=size, patch_size=16, drop_path_rate=0.5
                    ),
                    head=dict(type='VisionTransformerClsHead', num_classes=CLASSES, in_channels=16),
                )
            ).train()
            for _ in range(2)
        ]
        for size in SIZES
    }


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
    assert ours.keys() == set(METHODS)
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
        kept = images.clone(), scores.clone()
        mixed, blended = augment(images, scores)
        assert torch.equal(images, kept[0])
        assert torch.equal(scores, kept[1])
        assert mixed.shape == images.shape
        target = augment.pop_target()
        assert augment.pop_target() is None
        owner = mixed[:, 0].round().long() - 1
        for b in range(batch):
            others = owner[b][owner[b] != b].unique()
            assert len(others) <= 1
            own = (owner[b] == b).float().mean()
            if len(others) or batch == 1:
                partner_scores = scores[others[0]] if len(others) else scores[b]
                assert torch.equal(target.partner_scores[b], partner_scores)
            assert torch.equal(target.scores[b], scores[b])
            if batch > 1 and (target.partner_scores[b] != scores[b]).any():
                assert target.lam_area[b].item() == pytest.approx(own.item(), abs=1e-6)
                assert torch.equal(target.mask[b, 0], owner[b] == b)
            visible = {int(label) % CLASSES for label in owner[b].unique()}
            assert {k for k in range(CLASSES) if blended[b, k] > 0} <= visible
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


@pytest.mark.parametrize('name', ['PuzzleMix', 'SMMix', 'TokenMix'])
def test_a_model_that_is_not_bound_raises_and_is_not_copied(name, classifiers):
    settings = dict(PuzzleMix=dict(blocks=(4,)), SMMix=dict(patch_size=16), TokenMix=dict(patch_size=16))[name]
    augment, batch = BATCH_AUGMENTS.build(dict(type=name, **settings)), numbered(2, (64, 64))
    unbound = pytest.raises(
        RuntimeError, match=rf"^{name} .*dict\(type='mixpro_mm.LabelingHook'\).*labeling='AreaLabeling'"
    )
    with unbound:
        augment(*batch)
    assert not augment.pending
    augment.bind(*classifiers[64, 64])
    augment(*batch)
    for twin in (copy.deepcopy(augment), pickle.loads(pickle.dumps(augment))):
        with unbound:
            twin(*batch)
        twin.bind(*classifiers[64, 64])
        twin(*batch)
    augment(*batch)  # the original still has its model
    augment.unbind()
    with unbound:
        augment(*batch)


@pytest.mark.parametrize(('name', 'case'), CASES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_images_stay_half_and_labels_stay_full(name, case, dtype, classifiers):
    torch.manual_seed(0)
    images, scores = numbered(4, (64, 64), dtype)
    augment = built(name, case, classifiers, (64, 64))
    with torch.autocast('cpu', torch.bfloat16):
        mixed, blended = augment(images, scores)
    assert mixed.dtype == dtype
    assert blended.dtype == torch.float32
    owner = mixed[:, 0].float().round().long() - 1
    assert all(set(owner[b].unique().tolist()) <= set(range(4)) for b in range(4))


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
    models = classifiers[64, 64]
    before = [copy.deepcopy(model.state_dict()) for model in models]
    modes = [[module.training for module in model.modules()] for model in models]
    images, scores = numbered(4, (64, 64))
    built(name, case, classifiers, (64, 64))(images, scores)
    for model, state, mode in zip(models, before, modes, strict=True):
        assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
        assert [module.training for module in model.modules()] == mode
        assert all(parameter.grad is None for parameter in model.parameters())
        assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(('name', 'case'), CASES)
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_masks_are_on_the_device_of_the_images(name, case, classifiers):
    images, scores = (tensor.cuda() for tensor in numbered(4, (64, 64)))
    augment = built(name, case, copy.deepcopy({k: [m.cuda() for m in v] for k, v in classifiers.items()}), (64, 64))
    mixed, blended = augment(images, scores)
    assert mixed.is_cuda
    assert blended.is_cuda
    assert augment.pop_target().mask.is_cuda


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


ALIKE = [  # what every method refuses that takes the argument
    (dict(prob=0), 'prob must be a finite number above 0, got 0'),
    (dict(prob=1.5), 'prob must be at most 1, got 1.5'),
    (dict(partner='roll'), "partner 'roll' is unknown; known: flip, permutation"),
    (dict(ratio='pixel'), "ratio 'pixel' is unknown; known: batch, sample"),
    (dict(rounding='round'), "rounding 'round' is unknown; known: ceil, floor"),
    *((dict(alpha=alpha), 'alpha must be a ') for alpha in (0, -1, math.nan, '1', 1e-300, 1e-4, 1e31, 10**400)),
]


@pytest.mark.parametrize(('name', 'case'), FIRST)
def test_common_arguments_out_of_range_raise(name, case):
    known = inspect.signature(BATCH_AUGMENTS.get(name)).parameters
    for wrong, sentence in ALIKE:
        if wrong.keys() <= known.keys():
            with pytest.raises(ValueError, match=f'^{re.escape(sentence)}'):
                BATCH_AUGMENTS.build(dict(type=name, **{**copy.deepcopy(case), **wrong}))


LAYER = dict(extractor=EXTRACTOR, checkpoint=False)
WRONG = [  # (method, settings, start of the message); the validators have tests of their own
    ('MaskMix', dict(patch_size=10**400), 'patch_size must be a finite number above 0, got 1000'),
    ('MaskMix', dict(patch_size=10**200, mask_scale=10**200), 'mask size inf '),
    ('MaskMix', dict(mask_scale=3.4), r'mask size 54.4 \(mask_scale 3.4 x patch_size 16\) is not a multiple'),
    ('MaskMix', dict(mask_scale=3.75), r'mask size 60 \(mask_scale 3.75 x patch_size 16\) is not a multiple'),
    ('MaskMix', dict(offset=-1), 'offset must be a whole number .* 0, got -1'),
    ('MaskMix', dict(offset=64), 'offset 64 must be smaller than the mask size 64'),
    ('MaskMix', dict(unit=1.1), 'unit must be at most 1, got 1.1'),
    ('MaskMix', dict(unit=0.007), 'unit 0.007 of the mask size 64 is less than half a pixel'),
    ('MaskMix', dict(shuffle='all'), "shuffle 'all' is unknown; known: both, canvas, none, pasted"),
    ('BlockMix', dict(patch_size=16.0), 'patch_size must be a whole number of at least 1, got 16.0'),
    ('BlockMix', dict(min_patches=0), 'min_patches must be a whole number of at least 1, got 0'),
    ('BlockMix', dict(aspect=3.3), 'aspect must be at most 1, got 3.3'),
    ('GridMix', dict(grid=1), 'grid must be a whole number of at least 2, got 1'),
    ('RegionMix', dict(align=0), 'align must be a whole number of at least 1, got 0'),
    ('PuzzleMix', dict(transport='no'), "transport must be True or False, got 'no'"),
    ('PuzzleMix', dict(beta=-1), 'beta must be a finite number of at least 0, got -1'),
    ('PuzzleMix', dict(gamma=math.nan), 'gamma must be a finite number of at least 0, got nan'),
    ('PuzzleMix', dict(eta='0.2'), "eta must be a finite number of at least 0, got '0.2'"),
    ('PuzzleMix', dict(t_eps=0), 't_eps must be a finite number above 0, got 0'),
    ('PuzzleMix', dict(neigh=0), 'neigh must be a whole number of at least 1, got 0'),
    *(('PuzzleMix', dict(blocks=x), 'blocks must be a list of integers') for x in ((), 4)),
    ('PuzzleMix', dict(blocks=(1, 2)), r'each of blocks \(1, 2\) must be a whole number of at least 2'),
    ('SMMix', dict(patch_size=0), 'patch_size must be a whole number of at least 1, got 0'),
    *(
        ('SMMix', dict(sides=x), 'sides must be two fractions below 1 or two whole numbers in ascending order, got ')
        for x in ((0, 3), (4, 3), (0.5, 3), (2, 3.5), (0.5, 0.25), (1, 2, 3), 3, (0.5, 10**400), (True, True))
    ),
    ('SMMix', dict(attention=dict(reading='rollout')), "attention reading 'rollout' is unknown; known: class, query"),
    ('TokenMix', dict(lam=1.5), 'lam must be at most 1, got 1.5'),
    ('TokenMix', dict(extra=-0.1), 'extra must be a finite number of at least 0, got -0.1'),
    ('TokenMix', dict(lam=0.5, extra=0.5), 'lam 0.5 and extra 0.5 give a pasted fraction of 1'),
    ('TokenMix', dict(lam=1, extra=0), '.* give a pasted fraction of 0'),
    ('TokenMix', dict(min_patches=0), 'min_patches must be a whole number of at least 1, got 0'),
    ('TokenMix', dict(aspect=1.2), 'aspect must be at most 1, got 1.2'),
    ('TokenMix', dict(smoothing=1), 'smoothing must be below 1, got 1'),
    ('TokenMix', dict(target='kl'), "target 'kl' is unknown; known: bce, ce"),
    ('TokenMix', dict(checkpoint='a.pth'), "checkpoint cannot be combined with teacher='ema'"),
    ('TokenMix', dict(teacher=dict(type=5), checkpoint=False), ".* needs a config with a type, got {'type': 5}"),
    ('TokenMix', dict(teacher=(0.5, 2), checkpoint=False), r'.*teacher of TokenMix\), got \(0.5, 2\)'),
    *(('AttentiveCutMix', LAYER | dict(top_k=x), 'top_k must be .*, got ') for x in (0, 49)),
    ('AttentiveCutMix', LAYER | dict(grid=1), 'grid must be a whole number of at least 2'),
    ('AttentiveCutMix', LAYER | dict(checkpoint=True), 'checkpoint must be .*, got True'),
    ('AttentiveCutMix', LAYER | dict(layer=5), 'layer must be .*, got 5'),
    ('AttentiveCutMix', LAYER | dict(layer='0.9'), "layer '0.9' does not exist in ImageClassifier"),
    ('AttentiveCutMix', dict(extractor=EXTRACTOR), 'a frozen classifier needs weights'),
]


@pytest.mark.parametrize(('name', 'wrong', 'sentence'), WRONG)
def test_invalid_arguments_raise(name, wrong, sentence):
    with pytest.raises((ValueError, TypeError), match=f'^{sentence}') as caught:
        BATCH_AUGMENTS.build(dict(type=name, **copy.deepcopy(wrong)))
    assert '\n' not in str(caught.value)


NOTHING = r'patch_size {} leaves nothing to mix in an image of {}x{} pixels'
SMALL = [  # (method, settings, sizes refused, the sentence, a size that will do)
    ('MaskMix', {}, [(32, 32), (224, 48), (64, 64)], r'mask size 64 .* image of {1}x{2} pixels', None),
    ('MaskMix', dict(patch_size=8, mask_scale=2, shuffle='pasted'), [(36, 32)], '.*multiples of .* 8, got 36x32', None),
    ('BlockMix', dict(patch_size=16), [(16, 16), (15, 40), (40, 8)], NOTHING, (16, 17)),
    ('GridMix', dict(grid=8), [(7, 32), (32, 7)], 'grid 8 exceeds the sides of an image of {1}x{2}', (8, 8)),
    (
        'RegionMix',
        dict(align=49),
        [(64, 48), (48, 64)],
        'align 49 must lie in 1 to 48 for an image of {1}x{2}',
        (64, 50),
    ),
    ('RegionMix', dict(align=32), [(32, 32)], 'align 32 must lie in 1 to 31 for an image of 32x32 pixels', (32, 33)),
    ('TokenMix', dict(patch_size=64, teacher=EXTRACTOR, checkpoint=False), [(64, 48)], NOTHING, None),
    ('AttentiveCutMix', LAYER, [(6, 20)], 'a 7x7 grid does not fit an image of 6x20 pixels', None),
    ('PuzzleMix', dict(blocks=(2, 4)), [(9, 12)], r'none of the blocks \(2, 4\) of PuzzleMix divides .* 9x12', None),
    ('SMMix', dict(patch_size=64), [(64, 64)], 'patch_size 64 leaves SMMix nothing to mix on a 1x1 grid', None),
    ('SMMix', dict(patch_size=65), [(64, 64)], 'patch_size 65 leaves SMMix nothing to mix on a 0x0 grid', None),
]


@pytest.mark.parametrize(('name', 'case', 'sizes', 'sentence', 'fits'), SMALL)
def test_images_that_are_too_small_raise(name, case, sizes, sentence, fits, classifiers):
    augment = built(name, case, classifiers, (64, 64))
    for size in sizes:
        said = sentence.format(case.get('patch_size'), *size)
        with pytest.raises(ValueError, match=f'^{said}'):
            augment(*numbered(2, size))
    if fits:
        augment(*numbered(2, fits))


def test_shapes_that_do_not_fit_raise():
    augment = BATCH_AUGMENTS.build(dict(type='RegionMix'))
    for scores in (torch.tensor([0, 1]), torch.eye(3)):
        with pytest.raises(ValueError, match=r'^RegionMix mixes images .* got \(2, 3, 64, 64\) and \('):
            augment(torch.rand(2, 3, 64, 64), scores)
