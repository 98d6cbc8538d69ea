from collections import Counter

import numpy as np
import pytest
from mmpretrain.registry import DATASETS
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from mixpro_mm.datasets import DigitsA, DigitsO, digit_views, split_indices
from mixpro_mm.datasets.digit_views import all_scans, draw_view, read_filtered

TARGET = load_digits().target
TEST = set(split_indices('test').tolist())


@pytest.fixture(scope='module')
def datasets():
    return {name: DATASETS.build(dict(type=f'mixpro_mm.Digits{name.upper()}')) for name in 'ao'}


@pytest.fixture(scope='module')
def sets(datasets):
    """The two sets as lists of items."""
    return {name: list(dataset) for name, dataset in datasets.items()}


def luminance(image):
    return image[..., ::-1] @ np.array([0.299, 0.587, 0.114]) / 255


def stroke_of(image):
    return luminance(image) > 0.4  # between the lightest ground, 0.175 but for grain, and the darkest ink, 0.62


def plain(scan):
    """The ink of a scan alone, filling the picture."""
    ink = Image.fromarray((load_digits().images[scan] * 255 / 16).astype(np.float32))
    return np.asarray(ink.resize((32, 32), Image.Resampling.BICUBIC)) > 128


def spread(mask):
    """Pixels from the centre of a stroke, as a root mean square; turning and moving leave it alone."""
    return np.sqrt(np.argwhere(mask).var(0).sum())


def axis(mask):
    """Degrees between the longer principal axis of a stroke and the vertical, clockwise."""
    y, x = np.nonzero(mask)
    (xx, xy), (_, yy) = np.cov(x, y)
    return np.degrees(0.5 * np.arctan2(-2 * xy, yy - xx))


def test_scans_stand_in_the_order_of_the_file():
    scans, digits, is_test = all_scans()
    assert np.array_equal(digits, TARGET)
    assert np.flatnonzero(is_test).tolist() == sorted(TEST)
    assert np.abs(scans / 255 - load_digits().images / 16).max() <= 0.5 / 255


def test_two_numbers_say_what_is_drawn():
    np.random.seed(0)  # noqa: NPY002
    first = draw_view(4, 7)
    np.random.seed(1)  # noqa: NPY002
    assert np.array_equal(draw_view(4, 7), first)
    assert first.dtype == np.uint8 and first.shape == (32, 32, 3) and first.flags.c_contiguous
    others = [draw_view(4, 8), draw_view(7, 4), draw_view(5, 7)]
    assert all(np.abs(other.astype(int) - first).mean() > 5 for other in others)


def test_views_are_the_scan_scaled_and_whole():
    scans = [int(np.flatnonzero(digit == TARGET)[4]) for digit in (0, 2, 3, 5, 6, 8)]
    for scan in scans:
        scales = np.array([spread(stroke_of(draw_view(scan, view))) for view in range(40)]) / spread(plain(scan))
        assert 0.72 < scales.min() < 0.80, scan  # 0.75 to 0.95, but for where a stroke is said to end
        assert 0.90 < scales.max() < 0.98, scan


def test_views_are_turned_a_little_to_either_side_and_moved():
    slim = (scan for scan in np.flatnonzero(TARGET == 1) if not plain(scan)[:, [*range(8), *range(24, 32)]].any())
    scan = next(slim)
    masks = [stroke_of(draw_view(int(scan), view)) for view in range(80)]
    turns = np.array([axis(mask) for mask in masks]) - axis(plain(scan))
    assert -18 < turns.min() < -10 and 10 < turns.max() < 18
    centres = np.array([np.argwhere(mask).mean(0) for mask in masks])
    assert (np.ptp(centres, axis=0) > 4).all()


def test_ink_is_light_on_dark_ground_in_every_view_of_the_sets(sets):
    for item in sets['a'] + sets['o']:
        light = luminance(item['img'])
        assert light.max() > 0.5 and (light > 0.4).sum() > 40, (item['scan'], item['view'])
        assert np.median(light) < 0.3, (item['scan'], item['view'])
        assert np.quantile(light, 0.25) < 0.2, (item['scan'], item['view'])


def test_a_holds_readable_test_scans_of_every_known_digit_and_no_scan_dominates(sets):
    assert 300 <= len(sets['a']) <= 600
    assert len(sets['a']) == read_filtered()['origin']['adversarial']['images']
    assert len({(item['scan'], item['view']) for item in sets['a']}) == len(sets['a'])
    for item in sets['a']:
        assert item['gt_label'] == TARGET[item['scan']] < 8 and item['scan'] in TEST
        assert np.array_equal(item['img'], draw_view(item['scan'], item['view']))
    per_digit = Counter(item['gt_label'] for item in sets['a'])
    assert set(per_digit) == set(range(8)) and max(per_digit.values()) <= 60
    assert max(Counter(item['scan'] for item in sets['a']).values()) <= 6


def test_o_is_two_views_of_every_known_test_scan_and_some_of_8_and_9(sets):
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


def test_rendering_does_not_tell_the_two_kinds_of_o_apart(sets):
    ood = [item['ood'] for item in sets['o']]
    images = np.stack([item['img'] for item in sets['o']]).astype(float)
    grounds = np.median(images, axis=(1, 2))  # by channel; ink is the smaller part
    inks = images.max((1, 2))
    for clue in (*grounds.T, *inks.T):
        assert 0.4 < roc_auc_score(ood, clue) < 0.6


def test_another_size_is_the_same_view_resized():
    large = DigitsA(img_size=64)
    assert large[9]['img'].shape == (64, 64, 3)
    small = large[9]['img'].reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(small - draw_view(large[9]['scan'], large[9]['view'])).mean() < 4
    for size in (0, 32.0):
        with pytest.raises(ValueError, match=f'img_size must be a whole number of at least 1, got {size}'):
            DigitsO(img_size=size)


@pytest.mark.parametrize('part', ['adversarial', 'known', 'unknown'])
def test_other_views_than_those_filtered_are_refused(part, monkeypatch):
    """As if numpy drew another stream."""
    dataset = DigitsA if part == 'adversarial' else DigitsO
    digits = {8, 9} if part == 'unknown' else set(range(8))
    monkeypatch.setattr(
        digit_views,
        'draw_view',
        lambda scan, view: draw_view(scan, view + 1000 * (TARGET[scan] in digits)),
    )
    with pytest.raises(ValueError, match=r'is not the one that was filtered, its mean colour is .* numpy \d'):
        dataset()


def test_a_grey_level_between_machines_is_no_other_view(monkeypatch):
    monkeypatch.setattr(digit_views, 'draw_view', lambda scan, view: draw_view(scan, view) ^ (view % 2))
    assert len(DigitsA()) == read_filtered()['origin']['adversarial']['images']


def test_colours_on_record_are_of_views_of_all_parts():
    filtered = read_filtered()
    recorded = {tuple(map(int, name.split('.'))) for name in filtered['colours']}
    for part in ('adversarial', 'known', 'unknown'):
        pairs = {(int(scan), view) for scan, views in filtered[part].items() for view in views}
        assert len(recorded & pairs) >= 5
