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
VIEWS = 2  # candidates of a scan here
DRAWN = functools.cache(draw_view)  # what is drawn has tests of its own


@pytest.fixture(scope='module', autouse=True)
def draw_once():
    with mock.patch.object(filtered_digits, 'draw_view', DRAWN):
        yield


def opinion(image):
    """Probabilities of a made-up classifier: sharp, and set by the colours of the image alone."""
    blue, green, red = image.reshape(-1, 3).astype(float).mean(0)
    logits = np.zeros(8)
    logits[int(7 * blue + 5 * green) % 8] = red / 12
    return np.exp(logits) / np.exp(logits).sum()


def made_up(images):
    return np.stack([opinion(image) for image in images])


@pytest.fixture(scope='module')
def filtered():
    return filter_digits(made_up, candidates=VIEWS)


def pairs(part):
    return [(int(scan), view) for scan, views in part.items() for view in views]


def test_spread_takes_in_rounds_until_a_scan_or_a_group_is_full():
    candidates = [(1, 0, 'x'), (1, 5, 'x'), (1, 6, 'x'), (2, 3, 'x'), (2, 4, 'x')]
    candidates += [(3, 9, 'y'), (3, 8, 'y'), (3, 7, 'y')]
    assert spread(candidates, 9, 9) == [(1, 0), (1, 5), (1, 6), (2, 3), (2, 4), (3, 7), (3, 8), (3, 9)]
    assert spread(candidates, 2, 9) == [(1, 0), (1, 5), (2, 3), (2, 4), (3, 7), (3, 8)]
    assert spread(candidates, 1, 9) == [(1, 0), (2, 3), (3, 7)]
    assert spread(candidates, 9, 3) == [(1, 0), (2, 3), (2, 4), (3, 7), (3, 8), (3, 9)]  # second round: 4 before 5
    assert spread(candidates, 9, 1) == [(1, 0), (3, 7)]
    assert spread(reversed(candidates), 9, 3) == spread(candidates, 9, 3)
    assert spread([], 9, 9) == []


def test_a_takes_what_is_wrong_and_improbable_of_known_test_scans(filtered, monkeypatch):
    wanted = []
    for scan in TEST:
        for view in range(VIEWS):
            if (digit := TARGET[scan]) < 8:
                scores = opinion(DRAWN(scan, view))
                if scores.argmax() != digit and scores[digit] < 0.15:
                    wanted.append((scan, view))
    origin = filtered['origin']['adversarial']
    assert (origin['candidates'], origin['passed']) == (285 * VIEWS, len(wanted))
    assert 0 < len(wanted) < 285 * VIEWS
    taken = pairs(filtered['adversarial'])
    assert set(taken) <= set(wanted) and origin['images'] == len(taken)
    passed = Counter(TARGET[scan] for scan, _ in wanted)
    assert Counter(TARGET[scan] for scan, _ in taken) == {digit: min(count, 60) for digit, count in passed.items()}
    per_digit = passed.most_common(1)[0][1] - 5
    monkeypatch.setattr(filtered_digits, 'PER_DIGIT', per_digit)
    monkeypatch.setattr(filtered_digits, 'PER_SCAN', 1)
    once = pairs(filter_digits(made_up, VIEWS)['adversarial'])
    scans = {scan for scan, _ in wanted}
    assert {scan for scan, _ in once} <= scans and len(once) == len({scan for scan, _ in once})
    assert Counter(TARGET[scan] for scan, _ in once) == {
        digit: min(sum(TARGET[scan] == digit for scan in scans), per_digit) for digit in passed
    }


def test_o_takes_what_is_sure_of_8_and_9_wherever_they_stand(filtered):
    wanted, mistakes = [], Counter()
    for scan in np.flatnonzero(TARGET >= 8):
        for view in range(VIEWS):
            scores = opinion(DRAWN(scan, view))
            if scores.max() > 0.7:
                wanted.append((scan, view))
                mistakes[TARGET[scan], scores.argmax()] += 1
    origin = filtered['origin']['unknown']
    assert (origin['candidates'], origin['passed']) == (354 * VIEWS, len(wanted))
    taken = pairs(filtered['unknown'])
    assert set(taken) <= set(wanted) and origin['images'] == len(taken)
    assert len(taken) == sum(min(count, 40) for count in mistakes.values())
    assert 0 < len(wanted) < 354 * VIEWS and {TARGET[scan] for scan, _ in taken} == {8, 9}
    assert not {scan for scan, _ in taken} <= set(TEST)


def test_on_the_thresholds_is_not_beyond_them():
    """Nothing is improbable at 0.15 and nothing sure at 0.7."""
    content = filter_digits(lambda images: np.tile([0.7, 0.15, 0.15, 0, 0, 0, 0, 0], (len(images), 1)), candidates=1)
    assert content['unknown'] == {}
    digits = Counter(TARGET[scan] for scan, _ in pairs(content['adversarial']))
    assert digits == {2 + digit: count for digit, count in enumerate([0, 36, 36, 36, 36, 35]) if count}
    assert content['origin']['clean_top1'] == content['origin']['view_top1'] == round(100 * 35 / 285, 2)
    assert content['origin']['median_confidence'] == 70


def test_the_committed_file_is_of_these_settings_and_of_a_good_cnn():
    origin = read_filtered()['origin']
    assert (origin['adversarial']['candidates'], origin['unknown']['candidates']) == (28500, 35400)
    assert (origin['adversarial']['per_scan'], origin['adversarial']['per_digit']) == (6, 60)
    assert (origin['unknown']['per_scan'], origin['unknown']['per_mistake']) == (3, 40)
    assert str(filtered_digits.IMPROBABLE) in origin['adversarial']['rule'] and origin['seed'] == 0
    assert str(filtered_digits.SURE) in origin['unknown']['rule']
    assert filtered_digits.CANDIDATES == 100
    assert origin['config'] == CONFIG.name and len(origin['checkpoint_sha256']) == 64
    assert origin['clean_top1'] > 98  # so that what it gets wrong is hard and it is not just bad
    assert origin['view_top1'] > 80


@pytest.fixture(scope='module')
def cnn(tmp_path_factory):
    """The model of the config with weights that tell one image from another, and its checkpoint."""
    config = Config.fromfile(CONFIG)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor)).eval()
    torch.nn.init.normal_(model.head.fc.weight, std=30)
    path = tmp_path_factory.mktemp('cnn') / 'epoch_15.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return model, path


def test_the_file_is_written_with_its_origin_from_what_the_model_says(cnn, tmp_path, monkeypatch, capsys):
    model, checkpoint = cnn
    out, used = tmp_path / 'out.json', []
    monkeypatch.setattr(
        filtered_digits, 'filter_digits', lambda classify: used.append(classify) or filter_digits(classify, 1)
    )
    main([str(CONFIG), str(checkpoint), str(out)])
    content = json.loads(out.read_text())
    assert set(content) == set(read_filtered()) and set(content['origin']) == set(read_filtered()['origin'])
    assert content['origin']['checkpoint_sha256'] == sha256_of(checkpoint)
    assert '"clean_top1"' in capsys.readouterr().out
    assert max(map(len, out.read_text().splitlines())) < 120  # a scan a line, to be read as a difference
    images = np.stack([DRAWN(scan, 0) for scan in TEST[:8]])  # in colour, where the order of channels shows
    with torch.no_grad():
        packed = dict(inputs=torch.tensor(images).permute(0, 3, 1, 2), data_samples=[DataSample() for _ in images])
        scores = torch.stack([sample.pred_score for sample in model.test_step(packed)])
    np.testing.assert_allclose(used[0](images), scores, atol=1e-5)


def test_a_classifier_of_ten_classes_is_refused(tmp_path):
    ten = Config.fromfile(CONFIG)
    ten.model.head.num_classes = ten.data_preprocessor.num_classes = 10
    ten.dump(tmp_path / 'ten.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(ten.model)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'ten.pth')
    with pytest.raises(ValueError, match=r'ten.py has 10 classes instead of 8, the digits 0 to 7'):
        main([str(tmp_path / 'ten.py'), str(tmp_path / 'ten.pth'), str(tmp_path / 'out.json')])
    assert not (tmp_path / 'out.json').exists()
