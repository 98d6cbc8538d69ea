# ruff: noqa: NPY002  the transforms draw from this generator
import io

import cv2
import mmpretrain.datasets  # noqa: F401  registers the transforms
import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from sklearn.datasets import load_sample_image

from mixpro_mm.datasets import LoadCenterCrop, LoadRandomResizedCrop, crops

PHOTO = Image.fromarray(load_sample_image('china.jpg'))
EXIF = Image.Exif()
EXIF[0x0112] = 6
FILES = {
    'rgb.jpg': dict(quality=95),
    'progressive.jpg': dict(quality=80, progressive=True),
    'grey.jpg': dict(mode='L'),
    'cmyk.jpg': dict(mode='CMYK'),
    'turned.jpg': dict(exif=EXIF),
    'palette.png': dict(mode='P'),
    'alpha.png': dict(mode='RGBA'),
    'lossy.webp': {},
    'a_jpeg.png': dict(format='JPEG'),
}


def write(path, size=(301, 257), mode='RGB', **options):
    PHOTO.resize(size, Image.Resampling.BICUBIC).convert(mode).save(path, **options)
    return str(path)


def both(path, own, *steps, seed=0):
    """Return the images of our transform and of mmpretrain's steps, in grey levels."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipelines = [Compose([own]), Compose([dict(type='LoadImageFromFile'), *steps])]
    images = []
    for pipeline in pipelines:
        np.random.seed(seed)
        images.append(pipeline(dict(img_path=path))['img'])
    assert images[0].shape == images[1].shape and images[0].dtype == np.uint8 and images[0].flags.c_contiguous
    return [image.astype(int) for image in images]


def assert_close(ours, theirs):
    """PyTorch and Pillow round weights differently."""
    difference = abs(ours - theirs)
    assert difference.max() <= 8 and (difference > 1).mean() < 0.01 and difference.mean() < 0.3


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('interpolation', ['bicubic', 'bilinear'])
def test_random_crops_are_those_of_mmpretrain(name, interpolation, tmp_path):
    path = write(tmp_path / name, **FILES[name])
    own = dict(type='mixpro_mm.LoadRandomResizedCrop', scale=(64, 96), interpolation=interpolation, flip_prob=0)
    host = dict(type='RandomResizedCrop', scale=(64, 96), backend='pillow', interpolation=interpolation)
    for seed in range(4):
        ours, theirs = both(path, own, host, seed=seed)
        assert_close(ours, theirs)
        assert theirs.std() > 20


@pytest.mark.parametrize('name', FILES)
@pytest.mark.parametrize('size', [(301, 257), (200, 333)])
def test_center_crops_are_those_of_mmpretrain(name, size, tmp_path):
    path = write(tmp_path / name, size, **FILES[name])
    own = dict(type='mixpro_mm.LoadCenterCrop', scale=73, crop_size=64)
    resize = dict(type='ResizeEdge', scale=73, edge='short', backend='pillow', interpolation='bicubic')
    assert_close(*both(path, own, resize, dict(type='CenterCrop', crop_size=64)))


@pytest.mark.parametrize(('size', 'flag'), [((895, 895), 1), ((896, 1100), 2), ((1800, 1792), 4), ((3600, 3600), 8)])
def test_large_photographs_are_decoded_at_a_fraction(size, flag, tmp_path, monkeypatch):
    """At least 448 decoded pixels for 224."""
    path, flags = write(tmp_path / 'a.jpg', size, quality=95), []
    decode = cv2.imdecode
    monkeypatch.setattr(cv2, 'imdecode', lambda data, flag: flags.append(flag) or decode(data, flag))
    own = dict(type='mixpro_mm.LoadRandomResizedCrop', scale=224, crop_ratio_range=(1.0, 1.0), flip_prob=0)
    host = dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(1.0, 1.0), backend='pillow')
    ours, theirs = both(path, own, dict(host, interpolation='bicubic'))
    assert flags[0] == ({1: cv2.IMREAD_COLOR} | crops.REDUCED)[flag]
    assert abs(ours - theirs).mean() < (0.3 if flag == 1 else 2)


def test_a_part_of_a_large_photograph_is_at_its_place(tmp_path):
    path = write(tmp_path / 'a.jpg', (2000, 1500), quality=90)
    own = dict(type='mixpro_mm.LoadRandomResizedCrop', scale=160, flip_prob=0)
    host = dict(type='RandomResizedCrop', scale=160, backend='pillow', interpolation='bicubic')
    for seed in range(4):
        ours, theirs = both(path, own, host, seed=seed)
        assert theirs.shape == (160, 160, 3)
        moved = min(abs(np.roll(ours, step, axis) - theirs)[2:-2, 2:-2].mean() for step in (-1, 1) for axis in (0, 1))
        assert abs(ours - theirs)[2:-2, 2:-2].mean() < moved / 2


def test_an_image_in_the_sample_is_cropped(tmp_path):
    path = write(tmp_path / 'a.png')
    bgr, grey = cv2.imread(path), cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    for load in (LoadRandomResizedCrop(32, flip_prob=0), LoadCenterCrop(40, 32)):
        images = []
        for image in (None, bgr, bgr[..., ::-1].copy()[..., ::-1], grey, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)):
            np.random.seed(0)
            images.append(load(dict(img_path=path) if image is None else dict(img=image))['img'])
        for one, other in ((0, 1), (0, 2), (3, 4)):
            np.testing.assert_array_equal(images[one], images[other])


def test_half_the_crops_are_flipped(tmp_path):
    path, whole = write(tmp_path / 'a.jpg'), dict(scale=48, crop_ratio_range=(1.0, 1.0), aspect_ratio_range=(1.1, 1.3))
    plain = LoadRandomResizedCrop(flip_prob=0, **whole)(dict(img_path=path))
    assert (plain['flip'], plain['flip_direction']) == (False, None)
    found, load = [], LoadRandomResizedCrop(**whole)
    np.random.seed(0)
    for _ in range(200):
        sample = load(dict(img_path=path, gt_label=3))
        assert sample['gt_label'] == 3 and sample['ori_shape'] == (257, 301) and sample['img_shape'] == (48, 48)
        found.append(sample['flip'])
    assert 75 < sum(found) < 125  # 3.5 standard deviations
    mirrored = LoadRandomResizedCrop(flip_prob=1, crop_ratio_range=(1.0, 1.0), scale=(257, 301))(dict(img_path=path))
    np.testing.assert_array_equal(mirrored['img'][:, ::-1], cv2.imread(path))
    assert mirrored['flip_direction'] == 'horizontal'


def test_files_that_cannot_be_read_are_named(tmp_path):
    file, empty = io.BytesIO(), tmp_path / 'empty.jpg'
    PHOTO.save(file, 'JPEG')
    empty.write_bytes(b'')
    broken = tmp_path / 'broken.jpg'
    broken.write_bytes(file.getvalue()[:20])
    for load in (LoadRandomResizedCrop(32), LoadCenterCrop(40, 32)):
        for path in (empty, broken, tmp_path / 'missing.jpg'):
            with pytest.raises(ValueError, match=rf'Image {path} cannot be read: '):
                load(dict(img_path=str(path)))


@pytest.mark.parametrize(
    ('name', 'arguments', 'words'),
    [
        ('LoadRandomResizedCrop', dict(scale=32, interpolation='nearest'), "interpolation 'nearest' is unknown"),
        ('LoadRandomResizedCrop', dict(scale=32, flip_prob=2), 'flip_prob'),
        ('LoadCenterCrop', dict(scale=32, crop_size=33), 'crop_size 33 is larger than scale 32'),
        ('LoadCenterCrop', dict(scale=0, crop_size=0), 'scale'),
    ],
)
def test_invalid_arguments_raise(name, arguments, words):
    with pytest.raises(ValueError, match=words):
        TRANSFORMS.build(dict(type=f'mixpro_mm.{name}', **arguments))
