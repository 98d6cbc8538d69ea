from collections import Counter

import numpy as np
import pytest
from mmpretrain.registry import DATASETS
from PIL import Image
from sklearn.datasets import load_digits

from mixpro_mm.datasets import DigitsA, DigitsO, digit_views, split_indices
from mixpro_mm.datasets.digit_views import all_scans, draw_view, read_filtered

TARGET = load_digits().target
TEST = set(split_indices('test').tolist())


@pytest.fixture(scope='module')
def sets():
    return {name: list(DATASETS.build(dict(type=f'mixpro_mm.Digits{name.upper()}'))) for name in 'ao'}


def luminance(image):
    return image[..., ::-1] @ np.array([0.299, 0.587, 0.114]) / 255


def stroke_of(image):
    return luminance(image) > 0.4  # background: up to 0.175 and grain, ink: from 0.62


def plain(scan):
    """Return the stroke of a scan that fills the image."""
    ink = Image.fromarray((load_digits().images[scan] * 255 / 16).astype(np.float32))
    return np.asarray(ink.resize((32, 32), Image.Resampling.BICUBIC)) > 128


def spread(mask):
    """Return the root mean square distance from the centre of a stroke."""
    return np.sqrt(np.argwhere(mask).var(0).sum())


def test_scans_are_in_file_order():
    scans, digits, is_test = all_scans()
    assert np.array_equal(digits, TARGET)
    assert np.flatnonzero(is_test).tolist() == sorted(TEST)
    assert np.abs(scans / 255 - load_digits().images / 16).max() <= 0.5 / 255


def test_two_numbers_determine_a_view():
    np.random.seed(0)  # noqa: NPY002
    first = draw_view(4, 7)
    np.random.seed(1)  # noqa: NPY002
    assert np.array_equal(draw_view(4, 7), first)
    assert first.dtype == np.uint8 and first.shape == (32, 32, 3) and first.flags.c_contiguous
    others = [draw_view(4, 8), draw_view(7, 4), draw_view(5, 7)]
    assert all(np.abs(other.astype(int) - first).mean() > 5 for other in others)


def test_views_are_complete_scaled_scans_at_different_positions():
    scans = [int(np.flatnonzero(digit == TARGET)[4]) for digit in (0, 2, 3, 5, 6, 8)]
    for scan in scans[::2]:
        centres = [np.argwhere(stroke_of(draw_view(scan, view))).mean(0) for view in range(40)]
        assert (np.ptp(centres, axis=0) > 4).all()
        scales = np.array([spread(stroke_of(draw_view(scan, view))) for view in range(40)]) / spread(plain(scan))
        assert 0.72 < scales.min() < 0.80, scan  # 0.75 to 0.95, with a tolerance of the threshold
        assert 0.90 < scales.max() < 0.98, scan


def test_a_has_readable_test_scans_of_every_known_digit(sets):
    assert 300 <= len(sets['a']) <= 600
    assert len(sets['a']) == read_filtered()['origin']['adversarial']['images']
    assert len({(item['scan'], item['view']) for item in sets['a']}) == len(sets['a'])
    for item in sets['a']:
        assert item['gt_label'] == TARGET[item['scan']] < 8 and item['scan'] in TEST
        light = luminance(item['img'])
        assert light.max() > 0.5 and (light > 0.4).sum() > 40 and np.median(light) < 0.3
    per_digit = Counter(item['gt_label'] for item in sets['a'])
    assert set(per_digit) == set(range(8)) and max(per_digit.values()) <= 60
    assert max(Counter(item['scan'] for item in sets['a']).values()) <= 6


def test_o_has_two_views_of_every_known_test_scan_and_views_of_8_and_9(sets):
    known = [item for item in sets['o'] if item['ood'] == 0]
    unknown = [item for item in sets['o'] if item['ood'] == 1]
    assert sets['o'] == known + unknown
    wanted = {(scan, view) for scan in TEST if TARGET[scan] < 8 for view in (0, 1)}
    assert {(item['scan'], item['view']) for item in known} == wanted and len(known) == len(wanted) == 570
    assert {TARGET[item['scan']] for item in unknown} == {8, 9}
    assert len({(item['scan'], item['view']) for item in unknown}) == len(unknown) >= 300
    assert max(Counter(item['scan'] for item in unknown).values()) <= 3
    assert all(item['digit'] == TARGET[item['scan']] for item in sets['o'])
    assert not any('gt_label' in item for item in sets['o'])


def test_another_size_is_the_same_view_resized():
    large = DigitsA(img_size=64)
    assert large[9]['img'].shape == (64, 64, 3)
    small = large[9]['img'].reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(small - draw_view(large[9]['scan'], large[9]['view'])).mean() < 4
    with pytest.raises(ValueError, match=r'img_size .* got 32\.0'):
        DigitsO(img_size=32.0)


@pytest.mark.parametrize('part', ['adversarial', 'known', 'unknown'])
def test_different_views_raise(part, monkeypatch):
    dataset = DigitsA if part == 'adversarial' else DigitsO
    digits = {8, 9} if part == 'unknown' else set(range(8))
    monkeypatch.setattr(
        digit_views,
        'draw_view',
        lambda scan, view: draw_view(scan, view + 1000 * (TARGET[scan] in digits)),
    )
    with pytest.raises(ValueError, match=r'has the mean colour .* numpy \d'):
        dataset()
