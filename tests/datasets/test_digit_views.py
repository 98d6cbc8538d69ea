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


def luminance(image):
    return image[..., ::-1] @ np.array([0.299, 0.587, 0.114]) / 255


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
    for scan in (int(np.flatnonzero(digit == TARGET)[4]) for digit in (0, 3, 6)):
        ink = Image.fromarray((load_digits().images[scan] * 255 / 16).astype(np.float32))
        plain = spread(np.asarray(ink.resize((32, 32), Image.Resampling.BICUBIC)) > 128)
        strokes = [luminance(draw_view(scan, view)) > 0.4 for view in range(40)]  # ink from 0.62, background to 0.175
        assert (np.ptp([np.argwhere(stroke).mean(0) for stroke in strokes], axis=0) > 4).all()
        scales = np.array([spread(stroke) for stroke in strokes]) / plain
        assert 0.72 < scales.min() < 0.80 and 0.90 < scales.max() < 0.98, scan  # 0.75 to 0.95, and the threshold


def test_a_has_readable_test_scans_of_every_known_digit():
    items = list(DATASETS.build(dict(type='mixpro_mm.DigitsA')))
    assert 300 <= len(items) == read_filtered()['origin']['adversarial']['images'] <= 600
    assert len({(item['scan'], item['view']) for item in items}) == len(items)
    for item in items:
        assert item['gt_label'] == TARGET[item['scan']] < 8 and item['scan'] in TEST
        light = luminance(item['img'])
        assert light.max() > 0.5 and (light > 0.4).sum() > 40 and np.median(light) < 0.3
    per_digit = Counter(item['gt_label'] for item in items)
    assert set(per_digit) == set(range(8)) and max(per_digit.values()) <= 60
    assert max(Counter(item['scan'] for item in items).values()) <= 6


def test_o_has_two_views_of_every_known_test_scan_and_views_of_8_and_9():
    items = list(DATASETS.build(dict(type='mixpro_mm.DigitsO')))
    known, unknown = ([(item['scan'], item['view']) for item in items if item['ood'] == ood] for ood in (0, 1))
    assert [item['ood'] for item in items] == [0] * 570 + [1] * len(unknown)
    assert set(known) == {(scan, view) for scan in TEST if TARGET[scan] < 8 for view in (0, 1)}
    assert {TARGET[scan] for scan, _ in unknown} == {8, 9} and len(set(unknown)) == len(unknown) >= 300
    assert max(Counter(scan for scan, _ in unknown).values()) <= 3
    assert all(item['digit'] == TARGET[item['scan']] and 'gt_label' not in item for item in items)


def test_another_size_is_the_same_view_resized():
    large = DigitsA(img_size=64)
    assert large[9]['img'].shape == (64, 64, 3)
    small = large[9]['img'].reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(small - draw_view(large[9]['scan'], large[9]['view'])).mean() < 4
    with pytest.raises(ValueError, match=r'img_size .* got 32\.0'):
        DigitsO(img_size=32.0)


@pytest.mark.parametrize(('dataset', 'digits'), [(DigitsA, range(8)), (DigitsO, range(8)), (DigitsO, (8, 9))])
def test_different_views_raise(dataset, digits, monkeypatch):
    other = lambda scan, view: draw_view(scan, view + 1000 * (TARGET[scan] in digits))  # noqa: E731
    monkeypatch.setattr(digit_views, 'draw_view', other)
    with pytest.raises(ValueError, match=r'has the mean colour .* numpy \d'):
        dataset()
