"""CorruptionMetric and RealLabelAccuracy against independent computations."""

import json

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmpretrain.structures import DataSample
from torchmetrics.functional.classification import multiclass_calibration_error

from mixpro_mm.datasets.corruptions import CORRUPTIONS
from mixpro_mm.evaluation import CorruptionMetric, RealLabelAccuracy
from mixpro_mm.evaluation.corruption_metric import ALEXNET_ERRORS

# errors of AlexNet in the paper of Hendrycks and Dietterich, table 1 (percent, rounded)
PUBLISHED = dict(zip(CORRUPTIONS, (89, 89, 92, 82, 83, 79, 80, 87, 83, 82, 56, 85, 65, 72, 61), strict=True))


def evaluate(metric, samples):
    evaluator = Evaluator(metric)
    for start in range(0, len(samples), 7):
        evaluator.process(samples[start : start + 7])
    return evaluator.evaluate(len(samples))


def drawn(names, severities, images=30, classes=4):
    """Return scores, labels and samples of each set."""
    generator, sets, samples = np.random.default_rng(0), {}, []
    for name in names:
        for severity in severities:
            scores = torch.from_numpy(generator.dirichlet(np.ones(classes), images))
            labels = torch.from_numpy(generator.integers(0, classes, images))
            sets[name, severity] = scores, labels
            for score, label in zip(scores, labels, strict=True):
                sample = DataSample(metainfo=dict(corruption=name, severity=severity))
                samples.append(sample.set_pred_score(score).set_gt_label(label))
    return sets, [samples[number] for number in generator.permutation(len(samples))]


def test_top1_and_ece_of_each_set_and_their_means():
    sets, samples = drawn(('fog', 'snow'), (1, 5))
    metrics = evaluate(CorruptionMetric(bins=10), samples)
    top1 = {how: 100 * (scores.argmax(1) == labels).double().mean().item() for how, (scores, labels) in sets.items()}
    ece = {
        how: 100 * multiclass_calibration_error(scores, labels, 4, n_bins=10, norm='l1').item()
        for how, (scores, labels) in sets.items()
    }
    wanted = {f'corruption/{name}/{level}/top1': value for (name, level), value in top1.items()}
    wanted |= {f'corruption/{name}/{level}/ece': value for (name, level), value in ece.items()}
    wanted |= {f'corruption/{name}/top1': (top1[name, 1] + top1[name, 5]) / 2 for name in ('fog', 'snow')}
    wanted |= {'corruption/top1': sum(top1.values()) / 4, 'corruption/ece': sum(ece.values()) / 4}
    assert metrics == pytest.approx(wanted, abs=1e-3)
    assert len({round(value, 3) for value in top1.values()}) > 1


def test_mce_is_the_mean_error_relative_to_alexnet():
    sets, samples = drawn((*CORRUPTIONS, 'spatter'), range(1, 6), images=8)
    metrics = evaluate(CorruptionMetric(reference='alexnet'), samples)
    ces = []
    for name, alexnet in PUBLISHED.items():
        errors = [
            (scores.argmax(1) != labels).double().mean().item()
            for (kind, _), (scores, labels) in sets.items()
            if kind == name
        ]
        ces.append(100 * sum(errors) / (5 * alexnet / 100))
        assert metrics[f'corruption/{name}/ce'] == pytest.approx(ces[-1], rel=0.01)
    assert metrics['corruption/mce'] == pytest.approx(sum(ces) / 15, rel=0.005)
    assert 'corruption/spatter/ce' not in metrics and 'corruption/spatter/top1' in metrics


def test_errors_of_alexnet_are_those_of_the_paper():
    assert {name: round(error) for name, error in ALEXNET_ERRORS.items()} == PUBLISHED


def test_without_all_sets_there_is_no_mce():
    _, samples = drawn(CORRUPTIONS, (1, 2, 3, 4), images=2)
    metrics = evaluate(CorruptionMetric(reference='alexnet'), samples)
    assert 'corruption/top1' in metrics and not any(name.endswith('ce') and 'ece' not in name for name in metrics)
    with pytest.raises(ValueError, match="reference 'resnet' is unknown"):
        CorruptionMetric(reference='resnet')
    rain = DataSample(metainfo=dict(corruption='rain', severity=1)).set_pred_score(torch.tensor([0.5, 0.5]))
    with pytest.raises(ValueError, match='are none of imagecorruptions'):
        evaluate(CorruptionMetric(), [rain.set_gt_label(0)])
    with pytest.raises(ValueError, match='CorruptionMetric reads `corruption` of each sample'):
        evaluate(CorruptionMetric(), [DataSample().set_pred_score(torch.tensor([0.5, 0.5])).set_gt_label(0)])


def real(tmp_path, labels):
    path = tmp_path / 'real.json'
    path.write_text(json.dumps(labels + [[]] * (50_000 - len(labels))))
    return str(path)


def predicted(name, label):
    return DataSample(metainfo=dict(img_path=f'val/n01440764/{name}')).set_pred_label(label)


def test_any_of_the_real_labels_is_correct(tmp_path):
    metric = RealLabelAccuracy(real(tmp_path, [[3, 7], [4], [], [999]]))
    name = 'ILSVRC2012_val_0000000{}.JPEG'
    samples = [predicted(name.format(number), label) for number, label in ((2, 4), (1, 7), (3, 4), (4, 3))]
    assert evaluate(metric, samples) == pytest.approx({'real/top1': 200 / 3, 'real/images': 3})
    with pytest.raises(ValueError, match='none of 1 images has ReaL labels'):
        evaluate(metric, samples[2:3])
    with pytest.raises(ValueError, match=r'cat\.jpg is not named as a validation image'):
        evaluate(metric, [predicted('cat.jpg', 1)])


@pytest.mark.parametrize('labels', [[1, 2], [[1000]], [['a']], [[]] * 50_001])
def test_another_file_than_real_json_raises(labels, tmp_path):
    with pytest.raises(ValueError, match='is not a list with the labels of each of 50000 images'):
        RealLabelAccuracy(real(tmp_path, labels))
    with pytest.raises(FileNotFoundError, match=r'there is no file .*missing\.json with the ReaL labels'):
        RealLabelAccuracy(str(tmp_path / 'missing.json'))
