import functools
import json
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.structures import DataSample
from sklearn.datasets import load_digits

from mixpro_mm.datasets import filtered_digits, split_indices
from mixpro_mm.datasets.digit_views import draw_view, read_filtered
from mixpro_mm.datasets.filtered_digits import filter_digits, main, spread
from mixpro_mm.utils.files import sha256_of

CONFIG = Path(__file__).parents[2] / 'configs' / 'digits' / 'evidence' / 'filter_resnet-micro_digits-8.py'
TARGET = load_digits().target
TEST = split_indices('test')
VIEWS = 2  # candidates per scan
DRAWN = functools.cache(draw_view)


@pytest.fixture(scope='module', autouse=True)
def draw_once():
    with mock.patch.object(filtered_digits, 'draw_view', DRAWN):
        yield


def opinion(image):
    """Return probabilities that depend on the mean colour only."""
    blue, green, red = image.reshape(-1, 3).astype(float).mean(0)
    logits = np.zeros(8)
    logits[int(7 * blue + 5 * green) % 8] = red / 12
    return np.exp(logits) / np.exp(logits).sum()


@pytest.fixture(scope='module')
def filtered():
    return filter_digits(lambda images: np.stack([opinion(image) for image in images]), candidates=VIEWS)


def pairs(part):
    return [(int(scan), view) for scan, views in part.items() for view in views]


def test_spread_takes_rounds_until_a_scan_or_a_group_is_full():
    candidates = [(1, 0, 'x'), (1, 5, 'x'), (1, 6, 'x'), (2, 3, 'x'), (2, 4, 'x'), *((3, n, 'y') for n in (9, 8, 7))]
    assert spread(candidates, 9, 9) == [(1, 0), (1, 5), (1, 6), (2, 3), (2, 4), (3, 7), (3, 8), (3, 9)]
    assert spread(candidates, 2, 9) == [(1, 0), (1, 5), (2, 3), (2, 4), (3, 7), (3, 8)]
    assert spread(candidates, 1, 9) == [(1, 0), (2, 3), (3, 7)]
    assert spread(candidates, 9, 3) == [(1, 0), (2, 3), (2, 4), (3, 7), (3, 8), (3, 9)]  # second round: 4 before 5
    assert spread(candidates, 9, 1) == [(1, 0), (3, 7)]
    assert spread(reversed(candidates), 9, 3) == spread(candidates, 9, 3)
    assert spread([], 9, 9) == []


def test_a_has_improbable_mistakes_and_o_confident_ones(filtered):
    selected = dict(adversarial=Counter(), unknown=Counter())
    for scan, digit in enumerate(TARGET):
        for view in range(VIEWS):
            scores = opinion(DRAWN(scan, view))
            if digit < 8 and scan in TEST and scores.argmax() != digit and scores[digit] < 0.15:
                selected['adversarial'][digit] += 1
            if digit >= 8 and scores.max() > 0.7:
                selected['unknown'][digit, scores.argmax()] += 1
    for part, limit in (('adversarial', 60), ('unknown', 40)):
        origin = filtered['origin'][part]
        assert origin['passed'] == selected[part].total()
        assert origin['images'] == len(pairs(filtered[part])) == sum(min(n, limit) for n in selected[part].values())
    assert filtered['origin']['adversarial']['candidates'] == 285 * VIEWS
    assert filtered['origin']['unknown']['candidates'] == 354 * VIEWS
    assert {TARGET[scan] for scan, _ in pairs(filtered['unknown'])} == {8, 9}


def test_thresholds_are_exclusive():
    content = filter_digits(lambda images: np.tile([0.7, 0.15, 0.15, 0, 0, 0, 0, 0], (len(images), 1)), candidates=1)
    assert content['unknown'] == {}
    digits = Counter(TARGET[scan] for scan, _ in pairs(content['adversarial']))
    assert digits == {2 + digit: count for digit, count in enumerate([0, 36, 36, 36, 36, 35]) if count}
    assert content['origin']['clean_top1'] == content['origin']['view_top1'] == round(100 * 35 / 285, 2)
    assert content['origin']['median_confidence'] == 70


def test_the_file_has_the_selection_of_the_model_and_its_origin(tmp_path, monkeypatch, capsys):
    config, checkpoint = Config.fromfile(CONFIG), tmp_path / 'epoch_15.pth'
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor)).eval()
    torch.nn.init.normal_(model.head.fc.weight, std=30)
    torch.save(dict(state_dict=model.state_dict(), meta={}), checkpoint)
    out, used = tmp_path / 'out.json', []
    one_view = lambda classify: used.append(classify) or filter_digits(classify, 1)  # noqa: E731
    monkeypatch.setattr(filtered_digits, 'filter_digits', one_view)
    main([str(CONFIG), str(checkpoint), str(out)])
    content = json.loads(out.read_text())
    assert set(content) == set(read_filtered()) and set(content['origin']) == set(read_filtered()['origin'])
    assert content['origin']['checkpoint_sha256'] == sha256_of(checkpoint)
    assert '"clean_top1"' in capsys.readouterr().out
    assert max(map(len, out.read_text().splitlines())) < 120  # one scan per line
    images = np.stack([DRAWN(scan, 0) for scan in TEST[:8]])  # coloured, to test the channel order
    with torch.no_grad():
        packed = dict(inputs=torch.tensor(images).permute(0, 3, 1, 2), data_samples=[DataSample() for _ in images])
        scores = torch.stack([sample.pred_score for sample in model.test_step(packed)])
    np.testing.assert_allclose(used[0](images), scores, atol=1e-5)
