import math

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmpretrain.registry import MODELS, TRANSFORMS
from mmpretrain.structures import DataSample
from sklearn.metrics import average_precision_score, roc_auc_score
from torch.utils.data import DataLoader

from mixpro_mm.datasets import Digits
from mixpro_mm.evaluation.metrics import CalibrationMetric, OODMetric
from tests.evaluation.conftest import loader, runner_for
from tests.micro import vit

COLUMNS, KEPT = 12, [11, 4, 0, 7, 2, 9, 1, 10, 3, 5]  # the model has twelve outputs, ten of them digits

MODEL = dict(
    vit(),
    head=dict(type='VisionTransformerClsHead', num_classes=COLUMNS, in_channels=32),
    data_preprocessor=dict(mean=[127.5] * 3, std=[60.0] * 3, num_classes=COLUMNS),
)


def score(*values, **fields):
    sample = DataSample().set_pred_score(torch.tensor(values))
    for name, value in fields.items():
        sample.set_gt_label(value) if name == 'gt_label' else sample.set_field(value, name)
    return sample


def evaluate(metric, samples, meta=None, batch=3):
    evaluator = Evaluator(metric)
    if meta is not None:
        evaluator.dataset_meta = meta
    for start in range(0, len(samples), batch):
        evaluator.process(samples[start : start + batch])
    return evaluator.evaluate(len(samples))


def expected(logits, labels, bin_size, bins):
    """Return the five metrics in percent, from logits (N, S) and labels (N,)."""
    scores = logits.double().softmax(1)
    pairs = sorted(zip(scores.amax(1).tolist(), (scores.argmax(1) == labels).tolist(), strict=True))
    size = len(pairs)
    starts = [i * bin_size for i in range(size // bin_size)]
    members = [pairs[a:b] for a, b in zip(starts, [*starts[1:], size], strict=True)]
    terms = [sum(c - z for c, z in part) ** 2 / len(part) / size for part in members]
    hits = np.cumsum([z for _, z in reversed(pairs)])
    ece = sum(abs(sum(c - z for c, z in pairs if i / bins <= c < (i + 1) / bins)) for i in range(bins)) / size
    return {
        'top1': 100 * sum(z for _, z in pairs) / size,
        'rms_calibration_error': 100 * math.sqrt(sum(terms[:-1])),
        'rms_calibration_error_full': 100 * math.sqrt(sum(terms)),
        'aurra': 100 * sum(hit / k for k, hit in enumerate(hits, 1)) / size,
        'ece': 100 * ece,
    }


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(2)
    model = MODELS.build(MODEL)
    model.init_weights()
    with torch.no_grad():
        model.head.layers.head.weight.normal_()  # so that confidences differ
    return model.eval()


def logits_of(model, items):
    data = model.data_preprocessor(pseudo_collate(items))
    with torch.no_grad():
        return model(data['inputs']), data['data_samples']


def test_a_test_run_reports_the_calibration(model, tmp_path):
    sliced = dict(type='mixpro_mm.CalibrationMetric', classes='dataset')
    whole = dict(type='mixpro_mm.CalibrationMetric', prefix='all', bins=10, bin_size=50)
    runner = runner_for(model, tmp_path, loader(50, metainfo=dict(indices=KEPT)), [sliced, whole])
    metrics = runner.test()
    logits, samples = logits_of(model, list(runner.test_dataloader.dataset))
    labels = torch.cat([sample.gt_label for sample in samples])
    sliced = expected(logits[:, KEPT], labels, 100, 15)
    whole = expected(logits, torch.tensor(KEPT)[labels], 50, 10)
    wanted = {f'calibration/{k}': v for k, v in sliced.items()} | {f'all/{k}': v for k, v in whole.items()}
    assert metrics == pytest.approx(wanted, abs=1e-3)
    assert sliced['top1'] != whole['top1']
    assert 0 < sliced['rms_calibration_error'] < sliced['rms_calibration_error_full'] < 100


def test_a_test_run_reports_the_detection(model, tmp_path):
    """Out-of-distribution images are dark digits upside down."""
    dataset = Digits(split='test')
    pack = TRANSFORMS.build(dict(type='PackInputs', algorithm_keys=['ood']))
    images = [dataset.get_data_info(i)['img'] for i in range(120)]
    items = [dict(img=image, ood=0) for image in images[:80]]
    items += [dict(img=np.ascontiguousarray(image[::-1] // 3), ood=1) for image in images[80:]]
    packed = [pack(item) for item in items]
    evaluator = dict(type='mixpro_mm.OODMetric', classes=KEPT)
    data = DataLoader(packed, 16, collate_fn=pseudo_collate)
    metrics = runner_for(model, tmp_path, data, evaluator).test()
    logits, _ = logits_of(model, packed)
    found = -logits[:, KEPT].double().softmax(1).amax(1).numpy()
    flags = np.array([item['ood'] for item in items])
    threshold = sorted(found[flags == 1])[::-1][math.ceil(0.95 * 40) - 1]
    assert metrics == pytest.approx(
        {
            'ood/aupr': 100 * average_precision_score(flags, found),
            'ood/aupr_in': 100 * average_precision_score(1 - flags, -found),
            'ood/auroc': 100 * roc_auc_score(flags, found),
            'ood/fpr95': 100 * (found[flags == 0] >= threshold).mean(),
        },
        abs=1e-3,
    )


def test_calibration_by_hand():
    """The scores of classes 0 and 2 are (1/4, 3/4), (1/2, 1/2), (4/5, 1/5): confidences 0.75, 0.5, 0.8.

    Predictions are 2, 0, 0, labels 2, 2, 0: top-1 2/3. By confidence: right, right, wrong: (1 + 1 + 2/3) / 3 = 8/9. The
    gaps of bins of one image are 0.5, 0.25, 0.2; the protocol omits the last.
    """
    samples = [score(0.1, 0.6, 0.3, gt_label=1), score(0.2, 0.6, 0.2, gt_label=1), score(0.4, 0.5, 0.1, gt_label=0)]
    metrics = evaluate(CalibrationMetric(classes=[0, 2], bin_size=1, bins=2), samples, batch=2)
    assert metrics == pytest.approx(
        {
            'calibration/top1': 200 / 3,
            'calibration/aurra': 800 / 9,
            'calibration/rms_calibration_error': 100 * math.sqrt((0.25 + 0.0625) / 3),
            'calibration/rms_calibration_error_full': 100 * math.sqrt((0.25 + 0.0625 + 0.04) / 3),
            'calibration/ece': 100 * abs(0.75 + 0.5 + 0.8 - 2) / 3,
        },
        abs=1e-4,
    )


@pytest.mark.parametrize(
    ('classes', 'meta', 'right'),
    [
        (None, {}, [0, 1]),  # labels are columns
        ([2, 0], {}, [0, 1]),  # labels are positions in the list
        ([0, 2], {}, [1, 0]),
        ('dataset', dict(indices=(2, 0)), [0, 1]),
        ('dataset', dict(indices=np.array([1, 0])), [1, 0]),
        ([2, 1, 0], dict(indices=[1, 0]), [1, 0]),  # labels are positions in the indices
    ],
)
def test_labels_are_positions_in_classes_or_indices(classes, meta, right):
    metric = CalibrationMetric(classes=classes)
    metric.dataset_meta = meta
    metric.process(None, [score(0.3, 0.6, 0.1, gt_label=label).to_dict() for label in (0, 1)])
    assert [correct for _, correct in metric.results] == right


@pytest.mark.parametrize('images', [1, 199, 200])
def test_a_single_bin_has_no_protocol_error(images):
    metrics = evaluate(CalibrationMetric(), [score(0.3, 0.7, gt_label=i % 2) for i in range(images)], batch=50)
    names = {'calibration/top1', 'calibration/rms_calibration_error_full', 'calibration/aurra', 'calibration/ece'}
    assert set(metrics) == names | ({'calibration/rms_calibration_error'} if images == 200 else set())
    assert all(0 <= value <= 100 for value in metrics.values())


def test_the_flag_has_any_integer_type():
    metrics = evaluate(OODMetric(), [score(0.3, 0.7, ood=torch.tensor([1])), score(0.1, 0.9, ood=np.bool_(False))])
    assert metrics == {'ood/aupr': 100, 'ood/aupr_in': 100, 'ood/auroc': 100, 'ood/fpr95': 0}


FAIR = (0.3, 0.7)


@pytest.mark.parametrize(
    ('metric', 'scores', 'fields', 'meta', 'message'),
    [
        (CalibrationMetric(), FAIR, {}, {}, 'CalibrationMetric reads `gt_label` of each sample'),
        (CalibrationMetric(), FAIR, dict(gt_label=[0, 1]), {}, 'one whole number as `gt_label`'),
        (CalibrationMetric(), FAIR, dict(gt_label=2), {}, r'gt_label 2 is not one of the 2 classes \(0 to 1\)'),
        (CalibrationMetric([1]), FAIR, dict(gt_label=1), {}, 'gt_label 1 is not one of the 1 classes'),
        (CalibrationMetric([1]), FAIR, dict(gt_label=0), dict(indices=[0, 1]), 'label 0 is class 0 of the model, not'),
        (CalibrationMetric('dataset'), FAIR, dict(gt_label=0), dict(wnids=1), r"needs `indices` .* has \['wnids'\]"),
        (OODMetric(), FAIR, dict(gt_label=1), {}, 'OODMetric reads `ood` of each sample'),
        (OODMetric(), FAIR, dict(ood=2), {}, '`ood` of a sample must be 0 or 1, got 2'),
        (OODMetric('dataset'), FAIR, dict(ood=0), dict(indices=[0, 0]), '`indices` of the data set must be distinct'),
        (OODMetric([0, 5]), FAIR, dict(ood=0), {}, r'distinct columns of 2 scores \(0 to 1\), got \[0, 5\]'),
        (OODMetric(), (math.nan, 1.0), dict(ood=0), {}, 'scores must be softmaxed, but 1 of 1 rows'),
        *[
            (metric, [1 / 999] * 999, dict(gt_label=1, ood=0), dict(indices=[5, 7], num_outputs=1000),
             'the model has 999 outputs, .* columns of 1000: .* num_outputs=999')
            for metric in (CalibrationMetric('dataset'), CalibrationMetric(), OODMetric('dataset'))
        ],
    ],
)  # fmt: skip
def test_invalid_samples_raise(metric, scores, fields, meta, message):
    with pytest.raises(ValueError, match=message):
        evaluate(metric, [score(*scores, **fields)], meta)
    assert metric.results == []


@pytest.mark.parametrize(
    ('key', 'value'),
    [*(('classes', value) for value in ('data', [], [1, 1], [-1, 3], [0.5])), ('bin_size', 0), ('bins', '15')],
)
def test_invalid_arguments_raise(key, value):
    with pytest.raises(ValueError, match=f'{key} must be '):
        CalibrationMetric(**{key: value})


@pytest.mark.parametrize('flags', [[0, 0], [1, 1], []])
def test_detection_needs_both_kinds(flags):
    with pytest.raises(ValueError, match=f'{sum(flags)} of {len(flags)} have ood = 1'):
        evaluate(OODMetric(), [score(*FAIR, ood=flag) for flag in flags])
