# ruff: noqa: NPY002  the transforms draw from this generator
import cv2
import mmpretrain.datasets  # noqa: F401  registers the transforms
import numpy as np
import pytest
from mmpretrain.datasets.transforms.auto_augment import RANDAUG_POLICIES
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from sklearn.datasets import load_sample_image
from timm.data.auto_augment import _RAND_INCREASING_TRANSFORMS, AugmentOp

POLICIES = RANDAUG_POLICIES['timm_increasing']
RECIPE = dict(num_policies=2, magnitude_level=9, magnitude_std=0.5, total_level=10)
BICUBIC = dict(pad_val=[104, 116, 124], interpolation='bicubic')
PHOTO = np.ascontiguousarray(cv2.resize(load_sample_image('china.jpg')[..., ::-1], (224, 200)))
ERASING = dict(erase_prob=1.0, mode='rand', fill_color=[103.53, 116.28, 123.675])


def both(name, image=PHOTO, seed=0, **arguments):
    """Return the images of our and of mmpretrain's transform with a seed, and a number drawn afterwards."""
    results = []
    for scope in ('mixpro_mm', 'mmpretrain'):
        transform, given = TRANSFORMS.build(dict(type=f'{scope}.{name}', **arguments)), image.copy()
        np.random.seed(seed)
        results += [transform(dict(img=given))['img'], np.random.rand()]
        assert name == 'RandomErasing' or (given == image).all()
    ours, drawn, theirs, expected = results
    assert name == 'RandomErasing' or drawn == expected
    assert ours.dtype == np.uint8 and ours.flags.c_contiguous
    return ours.astype(int), theirs.astype(int)


@pytest.mark.parametrize('interpolation', ['bicubic', 'bilinear', 'nearest'])
@pytest.mark.parametrize('policy', POLICIES, ids=lambda policy: '-'.join(map(str, policy.values())))
def test_operations_are_those_of_mmpretrain(policy, interpolation):
    one = dict(
        RECIPE, policies=[dict(policy, prob=1.0)], num_policies=1, hparams=dict(BICUBIC, interpolation=interpolation)
    )
    within_one = policy['type'] in ('Shear', 'Translate') and interpolation == 'bicubic'
    changed = 0
    for seed in range(6):
        ours, theirs = both('RandAugment', seed=seed, **one)
        assert abs(ours - theirs).max() <= within_one and (ours != theirs).mean() < 0.01
        changed += (ours != PHOTO).any()
    assert changed == 6


@pytest.mark.parametrize(
    'policy',
    [
        dict(type='Shear', magnitude=0.3, direction='horizontal', pad_val=7),
        dict(type='Shear', magnitude=0.05, direction='vertical'),
        dict(type='Translate', magnitude=0.45, direction='vertical', interpolation='bicubic', pad_val=(1, 2, 3)),
        dict(type='Translate', magnitude=1.5, direction='horizontal', interpolation='bicubic'),
        dict(type='Posterize', bits=8),
        dict(type='Solarize', thr=256),
        dict(type='Contrast', magnitude=0.9),
        dict(type='GaussianBlur', radius=2),
    ],
    ids=lambda policy: policy['type'],
)
def test_fixed_magnitudes(policy):
    for seed in range(2):  # both signs
        ours, theirs = both(
            'RandAugment', policies=[dict(policy, prob=1.0)], num_policies=1, magnitude_level=1, seed=seed
        )
        assert abs(ours - theirs).max() <= 1 and (ours != theirs).mean() < 0.01


def test_the_recipe_draws_and_changes_the_same():
    equal = 0
    for seed in range(60):
        ours, theirs = both('RandAugment', seed=seed, policies='timm_increasing', hparams=BICUBIC, **RECIPE)
        equal += (ours == theirs).all()
        # an operation may amplify the grey level of the one before it
        assert abs(ours - theirs).mean() < 0.05 and np.percentile(abs(ours - theirs), 99.5) <= 1
    assert equal > 30


@pytest.mark.parametrize('value', [0, 128, 255])
def test_images_of_one_value(value):
    image = np.full((32, 40, 3), value, np.uint8)
    for policy in POLICIES:
        ours, theirs = both('RandAugment', image, num_policies=1, policies=[dict(policy, prob=1.0)], magnitude_level=5)
        assert abs(ours - theirs).max() <= 1


@pytest.mark.parametrize('fill_std', [None, [57.375, 57.12, 58.395]])
def test_erased_boxes_have_the_distribution_of_mmpretrain(fill_std):
    image, pixels = np.zeros((224, 224, 3), np.uint8), ([], [])
    for seed in range(20):
        images = both('RandomErasing', image, seed, fill_std=fill_std, max_area_ratio=1 / 3, **ERASING)
        boxes = [np.argwhere(each.any(2)) for each in images]
        assert (boxes[0].min(0) == boxes[1].min(0)).all() and (boxes[0].max(0) == boxes[1].max(0)).all()
        (top, left), (bottom, right) = boxes[0].min(0), boxes[0].max(0) + 1
        for found, each in zip(pixels, images, strict=True):
            found.append(each[top:bottom, left:right].reshape(-1, 3))
    ours, theirs = (np.concatenate(found) for found in pixels)
    counts = [
        np.stack([np.bincount(each[:, c], minlength=256) for c in range(3)]) / len(ours) for each in (ours, theirs)
    ]
    assert (
        abs(np.cumsum(counts[0], 1) - np.cumsum(counts[1], 1)).max() < 2 * (2 / len(ours)) ** 0.5
    )  # Kolmogorov-Smirnov


def test_erasing_is_seeded_and_fills_with_one_colour():
    image = np.zeros((64, 64, 3), np.uint8)
    first, second, other = (both('RandomErasing', image, seed, **ERASING)[0] for seed in (1, 1, 2))
    assert (first == second).all() and (first != other).any()
    ours, theirs = both('RandomErasing', image, erase_prob=1.0, mode='const', fill_color=(1, 2, 3))
    assert (ours == theirs).all() and ours.any()


@pytest.mark.parametrize('number', range(len(POLICIES)), ids=lambda number: f'{POLICIES[number]["type"]}{number}')
def test_mmpretrain_deviates_from_timm_as_documented(number):
    """docs/loading.md names these mean differences in grey levels, at equal magnitude and with the better sign."""
    bound = dict(ColorTransform=0.5, Sharpness=0.12, Translate=0.71, Rotate=1.2, Shear=2.45)
    policy = dict(POLICIES[number], prob=1.0)
    if 'magnitude_range' in policy:
        policy |= dict(magnitude_level=9, total_level=10)
    if policy['type'] in ('Rotate', 'Shear', 'Translate'):
        policy |= BICUBIC
    hparams = dict(img_mean=(124, 116, 104), interpolation=Image.Resampling.BICUBIC)
    theirs = AugmentOp(_RAND_INCREASING_TRANSFORMS[number], prob=1.0, magnitude=9, hparams=hparams)
    for photo in ('china.jpg', 'flower.jpg'):
        rgb = cv2.resize(load_sample_image(photo), (224, 224))
        for _ in range(4):
            ours = TRANSFORMS.build(policy)(dict(img=rgb[..., ::-1].copy()))['img'][..., ::-1].astype(int)
            others = [abs(np.asarray(theirs(Image.fromarray(rgb))) - ours).mean() for _ in range(8)]
            assert min(others) <= bound.get(policy['type'], 0)
