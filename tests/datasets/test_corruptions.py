import os
import re

import imagecorruptions
import numpy as np
import pytest
from mmpretrain.registry import DATASETS
from skimage.data import astronaut

from mixpro_mm.datasets import Corrupt, CorruptedDataset, Digits, ImageNetC
from mixpro_mm.datasets.corruptions import CORRUPTIONS, EXTRA_CORRUPTIONS
from mixpro_mm.datasets.imagenet_variants import imagenet_wnids

PACK = [dict(type='PackInputs')]
DIGITS = dict(type='mixpro_mm.Digits', split='test', pipeline=PACK)
RGB = np.ascontiguousarray(astronaut()[:96, 180:280])


def corrupted(name, severity=3, seed=0, sample_idx=5):
    bgr = RGB[..., ::-1].copy()
    results = Corrupt(seed=seed)(dict(img=bgr, corruption=name, severity=severity, sample_idx=sample_idx))
    assert np.array_equal(bgr, RGB[..., ::-1])  # not in place
    return results['img'][..., ::-1]


def test_the_names_are_those_of_imagecorruptions():
    assert list(CORRUPTIONS) == imagecorruptions.get_corruption_names('common')
    assert list(EXTRA_CORRUPTIONS) == imagecorruptions.get_corruption_names('validation')


FIXED = [
    'defocus_blur',
    'zoom_blur',
    'brightness',
    'contrast',
    'pixelate',
    'jpeg_compression',
    'gaussian_blur',
    'saturate',
]


@pytest.mark.parametrize('name', FIXED)
def test_corruptions_that_are_not_random_equal_imagecorruptions(name):
    for severity in (1, 5):
        assert np.array_equal(corrupted(name, severity), imagecorruptions.corrupt(RGB, severity, name))


@pytest.mark.parametrize('name', [name for name in CORRUPTIONS + EXTRA_CORRUPTIONS if name not in FIXED])
def test_random_corruptions_depend_on_seed_and_image_only(name):
    np.random.seed(3)  # noqa: NPY002
    first = corrupted(name)
    after = np.random.random()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    assert after == np.random.random()  # noqa: NPY002
    assert np.array_equal(first, corrupted(name)) and not np.array_equal(first, RGB)
    others = corrupted(name, seed=1), corrupted(name, sample_idx=6), corrupted(name, severity=4)
    assert not any(np.array_equal(first, other) for other in others)
    assert first.dtype == np.uint8 and first.shape == RGB.shape


def test_each_image_is_corrupted_by_each_kind_and_severity_in_turn():
    names, levels = ['contrast', 'fog'], [5, 2]
    config = dict(type='mixpro_mm.CorruptedDataset', corruptions=names, severities=levels, every=100, dataset=DIGITS)
    dataset, digits = DATASETS.build(config), Digits(split='test')
    assert isinstance(dataset, CorruptedDataset) and len(dataset) == 2 * 2 * 4
    assert dataset.metainfo['classes'] == digits.metainfo['classes']
    found = []
    for number in range(len(dataset)):
        item = dataset[number]
        sample, clean = item['data_samples'], digits[number % 4 * 100]
        assert sample.gt_label.item() == clean['gt_label']
        found.append((sample.corruption, sample.severity))
        if sample.corruption == 'contrast':
            image = imagecorruptions.corrupt(clean['img'], sample.severity, 'contrast')  # gray, so RGB is BGR
            assert np.array_equal(item['inputs'].permute(1, 2, 0), image)
    assert found == [(name, level) for name in names for level in levels for _ in range(4)]
    with pytest.raises(IndexError):
        dataset[16]


def test_corrupt_stays_where_the_pipeline_has_it():
    pipeline = [dict(type='mixpro_mm.Corrupt'), dict(type='CenterCrop', crop_size=28), dict(type='PackInputs')]
    settings = dict(corruptions=['contrast'], severities=[5])
    before = CorruptedDataset(dict(DIGITS, pipeline=pipeline), **settings)[0]['inputs']
    after = CorruptedDataset(dict(DIGITS, pipeline=pipeline[1:]), corruptions=['contrast'], severities=[5])
    assert before.equal(CorruptedDataset(DIGITS, **settings)[0]['inputs'][:, 2:-2, 2:-2])
    with pytest.raises(AttributeError, match='at least 32 pixels'):
        after[0]


@pytest.mark.parametrize(
    ('settings', 'sentence'),
    [
        (dict(corruptions=['rain']), "corruption 'rain' is unknown; known: brightness,"),
        (dict(corruptions=[]), 'corruptions must be different names'),
        (dict(corruptions=['fog', 'fog']), 'corruptions must be different names'),
        (dict(severities=[0]), 'severities must be distinct'),
        (dict(severities=[6]), 'severities must be distinct'),
        (dict(every=0), 'every must be'),
        (
            dict(dataset=dict(DIGITS, pipeline=[dict(type='mixpro_mm.Corrupt', severity=3), *PACK])),
            'has a Corrupt with a fixed',
        ),
    ],
)
def test_invalid_arguments_raise(settings, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        CorruptedDataset(**dict(dict(dataset=DIGITS), **settings))


@pytest.mark.parametrize('settings', [dict(severity=0), dict(severity=6), dict(severity=2.7), dict(corruption='')])
def test_invalid_fixed_corruptions_raise(settings):
    with pytest.raises(ValueError, match=r'severity must be|corruption .* is unknown'):
        Corrupt(**settings)


@pytest.fixture(scope='module')
def imagenet_c(tmp_path_factory):
    """Two corruptions at one severity, with one image of each class."""
    root = tmp_path_factory.mktemp('imagenet-c')
    for name in ('fog', 'snow'):
        for wnid in imagenet_wnids():
            (root / name / '4' / wnid).mkdir(parents=True)
            (root / name / '4' / wnid / f'ILSVRC2012_val_{wnid[1:]}.JPEG').touch()
    return root


def test_imagenet_c_reads_the_files_of_each_set(imagenet_c):
    part = dict(corruptions=['snow', 'fog'], severities=[4])
    dataset = ImageNetC(str(imagenet_c), num_images=1000, **part)
    dataset.dataset.pipeline = lambda info: dict(info, data_samples=Sample())
    assert len(dataset) == 2000
    for index in (0, 999, 1000, 1777):
        item, wnid = dataset[index], imagenet_wnids()[index % 1000]
        name = 'snow' if index < 1000 else 'fog'
        assert item['gt_label'] == index % 1000 and item['data_samples'].meta == dict(corruption=name, severity=4)
        assert item['img_path'] == f'{imagenet_c}/{name}/4/{wnid}/ILSVRC2012_val_{wnid[1:]}.JPEG'
    with pytest.raises(ValueError, match='1000 images instead of 50000'):
        ImageNetC(str(imagenet_c), **part)
    with pytest.raises(FileNotFoundError, match='snow/1'):
        ImageNetC(str(imagenet_c), ['snow'], [1])


class Sample:
    def set_metainfo(self, meta):
        self.meta = meta


def test_sets_of_different_images_raise(imagenet_c):
    file = next((imagenet_c / 'snow' / '4' / imagenet_wnids()[8]).iterdir())
    moved = file.rename(file.with_stem('other'))
    try:
        with pytest.raises(ValueError, match=r'2 images are not in both .*/fog/4 and .*/snow/4'):
            ImageNetC(str(imagenet_c), ['fog', 'snow'], [4], num_images=1000)
    finally:
        os.replace(moved, file)
