import math

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from mmpretrain.registry import MODELS, TRANSFORMS
from mmpretrain.structures import DataSample
from sklearn.metrics import average_precision_score, roc_auc_score
from torch.utils.data import DataLoader

from mixpro_mm.evaluation.metrics import CalibrationMetric, OODMetric
from mixpro_mm.functional.metrics import rms_calibration_error

COLUMNS, KEPT = 12, [11, 4, 0, 7, 2, 9, 1, 10, 3, 5]  # the digits, as ten of the twelve outputs of a model

CONFIG = f"""
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32),
        img_size=32, patch_size=16),
    head=dict(type='VisionTransformerClsHead', num_classes={COLUMNS}, in_channels=16),
    data_preprocessor=dict(mean=[127.5] * 3, std=[60.0] * 3, num_classes={COLUMNS}))
test_dataloader = dict(
    batch_size=50, num_workers=0,
    dataset=dict(type='mixpro_mm.Digits', split='test', pipeline=[dict(type='PackInputs')],
                 metainfo=dict(indices={KEPT})),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_evaluator = [
    dict(type='mixpro_mm.CalibrationMetric', classes='dataset'),
    dict(type='mixpro_mm.CalibrationMetric', prefix='all', bins=10, bin_size=50)]
test_cfg = dict()
"""

# run as FILE RANK FOLDER; knows the package by the names in the config only
RANK = """
import sys

import torch
from mmengine.config import Config
from mmengine.registry import METRICS
from mmengine.runner import Runner
from torch import distributed

rank, folder = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
config = Config.fromfile(f'{folder}/config.py')
config.work_dir, config.load_from = f'{folder}/work', f'{folder}/weights.pth'
config.test_evaluator[0].collect_dir = f'{folder}/collected'
config.test_evaluator[1].collect_device = 'gpu'
assert not any(name.startswith('mixpro_mm') for name in sys.modules)
assert METRICS.build(dict(type='mixpro_mm.OODMetric')).prefix == 'ood'
runner = Runner.from_cfg(config)
metrics = runner.test()
torch.save(dict(metrics=metrics, seen=len(runner.test_dataloader.sampler)), f'{folder}/rank{rank}.pth')
distributed.destroy_process_group()
"""


def vit(seed=0):
    torch.manual_seed(seed)
    model = MODELS.build(Config.fromstring(CONFIG, '.py').model)
    model.init_weights()
    with torch.no_grad():
        model.head.layers.head.weight.normal_()  # so that confidences differ
    return model.eval()


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
    """The five numbers in percent, from logits (N, S) of the classes that can be named and labels (N,) of these."""
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
def digits():
    """The model, its logits (355, 12) on the digits and their labels, without runner or metric."""
    model = vit()
    dataset = Runner.build_dataloader(Config.fromstring(CONFIG, '.py').test_dataloader).dataset
    data = model.data_preprocessor(pseudo_collate(list(dataset)))
    with torch.no_grad():
        logits = model(data['inputs'])
    return model, logits, torch.cat([sample.gt_label for sample in data['data_samples']])


@pytest.fixture(scope='module')
def on_digits(digits):
    _, logits, labels = digits
    sliced = expected(logits[:, KEPT], labels, 100, 15)
    whole = expected(logits, torch.tensor(KEPT)[labels], 50, 10)
    return {f'calibration/{k}': v for k, v in sliced.items()} | {f'all/{k}': v for k, v in whole.items()}


def test_a_test_run_reports_both(digits, on_digits, tmp_path):
    config = Config.fromstring(CONFIG, '.py')
    config.work_dir = str(tmp_path)
    torch.save(digits[0].state_dict(), tmp_path / 'weights.pth')
    config.load_from = str(tmp_path / 'weights.pth')
    runner = Runner.from_cfg(config)
    metrics = runner.test()
    assert metrics == pytest.approx(on_digits, abs=1e-3)
    assert on_digits['calibration/top1'] != on_digits['all/top1']
    protocol, full = (on_digits[f'calibration/rms_calibration_error{end}'] for end in ('', '_full'))
    assert 0 < protocol < full < 100
    (log,) = tmp_path.rglob('*.log')
    assert all(f'{name}: ' in log.read_text() for name in on_digits)


@pytest.mark.long
def test_two_ranks_report_what_one_does(digits, on_digits, tmp_path, two_ranks):
    """355 images on two ranks are 178 each: the one seen twice must not count twice."""
    (tmp_path / 'config.py').write_text(CONFIG)
    (tmp_path / 'rank.py').write_text(RANK)
    torch.save(digits[0].state_dict(), tmp_path / 'weights.pth')
    for rank in two_ranks(str(tmp_path / 'rank.py')):
        assert rank['seen'] == 178
        assert rank['metrics'] == pytest.approx(on_digits, abs=1e-3)


def test_a_test_run_tells_images_out_of_distribution(digits, tmp_path):
    """Digits, and the same digits upside down and dimmed as those out of distribution."""
    model = digits[0]
    dataset = Runner.build_dataloader(Config.fromstring(CONFIG, '.py').test_dataloader).dataset
    pack = TRANSFORMS.build(dict(type='PackInputs', algorithm_keys=['ood']))
    images = [dataset.get_data_info(i)['img'] for i in range(120)]
    items = [dict(img=image, ood=0) for image in images[:80]]
    items += [dict(img=np.ascontiguousarray(image[::-1] // 3), ood=1) for image in images[80:]]
    packed = [pack(item) for item in items]
    runner = Runner(
        model,
        str(tmp_path),
        test_dataloader=DataLoader(packed, 16, collate_fn=pseudo_collate),
        test_evaluator=dict(type='mixpro_mm.OODMetric', classes=KEPT),
        test_cfg=dict(),
        default_scope='mmpretrain',
        experiment_name='ood',
    )
    metrics = runner.test()
    with torch.no_grad():
        inputs = model.data_preprocessor(pseudo_collate(packed))['inputs']
        logits = model(inputs)[:, KEPT].double()
    found, flags = -logits.softmax(1).amax(1).numpy(), np.array([item['ood'] for item in items])
    threshold = sorted(found[flags == 1])[::-1][math.ceil(0.95 * 40) - 1]
    assert metrics == pytest.approx(
        {
            'ood/aupr': 100 * average_precision_score(flags, found),
            'ood/auroc': 100 * roc_auc_score(flags, found),
            'ood/fpr95': 100 * (found[flags == 0] >= threshold).mean(),
        },
        abs=1e-3,
    )


def test_calibration_by_hand():
    """Classes 0 and 2 of three. Slices (1/4, 3/4), (1/2, 1/2), (4/5, 1/5): confidence 0.75, 0.5, 0.8.

    Predictions 2, 0, 0 (equals: the first); true are 2, 2, 0. Right, wrong, right: top-1 2/3. Most confident first:
    right, right, wrong: (1 + 1 + 2/3) / 3 = 8/9. Bins of 1: gaps 0.5, 0.25, 0.2, the last one, of 0.8, left out.
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
        ([2, 0], {}, [0, 1]),  # labels count the list: 0 is column 2, 1 is column 0
        ([0, 2], {}, [1, 0]),
        ('dataset', dict(indices=[0, 2]), [1, 0]),
        ('dataset', dict(indices=(2, 0)), [0, 1]),
        ('dataset', dict(indices=np.array([1, 0])), [1, 0]),
        (None, dict(indices=[1, 2]), [1, 0]),  # every column can be named, labels count the indices
        ([2, 1, 0], dict(indices=[1, 0]), [1, 0]),  # the same, not the list
    ],
)
def test_what_labels_count(classes, meta, right):
    """Of columns (0.3, 0.6, 0.1), 1 is named, or 0 where 1 cannot be."""
    metric = CalibrationMetric(classes=classes)
    metric.dataset_meta = meta
    metric.process(None, [score(0.3, 0.6, 0.1, gt_label=label).to_dict() for label in (0, 1)])
    assert [correct for _, correct in metric.results] == right


def test_results_are_small_plain_pairs_in_order():
    """What travels between processes: no tensor, no array."""
    for metric, field in (CalibrationMetric(), 'gt_label'), (OODMetric(), 'ood'):
        metric.process(None, [score(0.1, 0.9, **{field: 1}).to_dict(), score(0.6, 0.4, **{field: 0}).to_dict()])
        assert [tuple(map(type, pair)) for pair in metric.results] == [(float, bool)] * 2
        assert [confidence for confidence, _ in metric.results] == pytest.approx([0.9, 0.6])
        metric.process(None, [])
        assert len(metric.results) == 2


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_scores_of_other_precision_are_taken(dtype):
    logits = 2 * torch.randn(30, 100, generator=torch.Generator().manual_seed(0))
    metric = CalibrationMetric(classes=list(range(10)))
    samples = [dict(pred_score=row, gt_label=torch.tensor([0])) for row in logits.softmax(1).to(dtype)]
    metric.process(None, samples)
    confidence = logits[:, :10].softmax(1).amax(1)
    assert [value for value, _ in metric.results] == pytest.approx(confidence.tolist(), rel=2e-2)
    assert samples[0]['pred_score'].dtype == dtype


@pytest.mark.parametrize('images', [1, 40, 199])
def test_a_single_bin_is_left_out_with_a_warning(images, caplog):
    samples = [score(0.3, 0.7, gt_label=i % 2) for i in range(images)]
    metrics = evaluate(CalibrationMetric(), samples, batch=50)
    assert set(metrics) == {f'calibration/{n}' for n in ('top1', 'rms_calibration_error_full', 'aurra', 'ece')}
    assert all(0 <= value <= 100 for value in metrics.values())
    samples += [score(0.3, 0.7, gt_label=1)] * (200 - images)
    metrics = evaluate(CalibrationMetric(), samples, batch=50)
    correct = [i % 2 for i in range(images)] + [1] * (200 - images)
    reference = 100 * rms_calibration_error([0.7] * 200, correct)
    assert metrics['calibration/rms_calibration_error'] == pytest.approx(reference, abs=1e-4)


def test_the_warning_names_the_numbers():
    from mmengine.logging import MMLogger

    messages = []
    logger = MMLogger.get_instance('single bin')
    logger.addFilter(lambda record: messages.append((record.levelname, record.getMessage())) or True)
    evaluate(CalibrationMetric(bin_size=30), [score(0.3, 0.7, gt_label=0)] * 59)
    assert [level for level, text in messages if '59 images in bins of 30 are a single bin' in text] == ['WARNING']


@pytest.mark.parametrize('flag', [1, True, np.int64(1), torch.tensor(1), torch.tensor([1]), torch.tensor([True])])
@pytest.mark.parametrize('field_type', ['data', 'metainfo'])
def test_the_flag_may_come_in_any_form(flag, field_type):
    sample = score(0.3, 0.7)
    sample.set_field(flag, 'ood', field_type=field_type)
    assert evaluate(OODMetric(), [sample, score(0.1, 0.9, ood=0)]) == {
        'ood/aupr': 100,
        'ood/auroc': 100,
        'ood/fpr95': 0,
    }


@pytest.mark.parametrize('metric', [CalibrationMetric, OODMetric])
@pytest.mark.parametrize(
    ('classes', 'sentence'),
    [
        ('data', "classes must be None, a list of class indices or 'dataset', got 'data'"),
        ([], r'classes must be distinct class indices from 0 on, got \[\]'),
        ([1, 1], 'distinct'),
        ([-1, 3], 'from 0 on'),
        ([0.5], 'class indices'),
    ],
)
def test_classes_are_checked_at_construction(metric, classes, sentence):
    with pytest.raises(ValueError, match=sentence):
        metric(classes=classes)


@pytest.mark.parametrize('kwargs', [dict(bin_size=0), dict(bin_size=10.0), dict(bins=-1), dict(bins='15')])
def test_bins_are_checked_at_construction(kwargs):
    with pytest.raises(ValueError, match=f'{next(iter(kwargs))} must be a whole number of at least 1'):
        CalibrationMetric(**kwargs)


@pytest.mark.parametrize(
    ('metric', 'sample', 'meta', 'sentence'),
    [
        (CalibrationMetric(), dict(gt_label=0), {}, r"reads `pred_score` of each sample, .* only \['gt_label'\]"),
        (CalibrationMetric(), score(0.3, 0.7), {}, 'CalibrationMetric reads `gt_label` of each sample'),
        (OODMetric(), score(0.3, 0.7, gt_label=1), {}, 'OODMetric reads `ood` of each sample'),
        (OODMetric(), score(0.3, 0.7, ood=2), {}, '`ood` of a sample must be 0 or 1, got 2'),
        (OODMetric(), score(0.3, 0.7, ood=0.5), {}, 'one whole number as `ood` of a sample, got 0.5'),
        (CalibrationMetric(), score(0.3, 0.7, gt_label=[0, 1]), {}, 'one whole number as `gt_label`'),
        (CalibrationMetric(), score(0.3, 0.7, gt_label=2), {}, r'gt_label 2 is not one of the 2 classes .*\(0 to 1\)'),
        (CalibrationMetric([1]), score(0.3, 0.7, gt_label=1), {}, r'gt_label 1 is not one of the 1 classes'),
        (
            CalibrationMetric('dataset'),
            score(0.3, 0.7, gt_label=0),
            dict(wnids=1),
            r"needs `indices` .* has \['wnids'\]",
        ),
        (OODMetric('dataset'), score(0.3, 0.7, ood=0), None, r'needs `indices` .* has \[\]'),
        (
            OODMetric('dataset'),
            score(0.3, 0.7, ood=0),
            dict(indices=[0, 0]),
            '`indices` of the data set must be distinct class indices',
        ),
        (
            CalibrationMetric([1]),
            score(0.3, 0.7, gt_label=0),
            dict(indices=[0, 1]),
            'label 0 is class 0 of the model, not',
        ),
        (OODMetric([0, 5]), score(0.3, 0.7, ood=0), {}, r'distinct columns of 2 scores \(0 to 1\), got \[0, 5\]'),
        (OODMetric([1, 2]), score(1.0, 0.0, 0.0, ood=0), {}, 'only zeros in the 2 classes'),
        (OODMetric(), score(4.0, -2.0, ood=0), {}, 'scores must be softmaxed'),
        (OODMetric(), score(math.nan, 1.0, ood=0), {}, 'scores must be softmaxed, but 1 of 1 rows'),
    ],
)
def test_what_cannot_be_read_is_one_sentence(metric, sample, meta, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        evaluate(metric, [sample], meta)
    assert '\n' not in str(error.value)
    assert metric.results == []  # nothing half kept


@pytest.mark.parametrize('width', [1001, 21841, 999])
@pytest.mark.parametrize(
    'metric', [CalibrationMetric('dataset'), CalibrationMetric(), CalibrationMetric([5, 7]), OODMetric('dataset')]
)
def test_outputs_of_another_number_than_the_data_set_counts_stop_at_the_first_batch(metric, width):
    metric.dataset_meta = dict(indices=[5, 7], num_outputs=1000)
    sample = score(*[1 / width] * width, gt_label=1, ood=0)
    with pytest.raises(ValueError, match=f'the model has {width} outputs, .* columns of 1000: .* num_outputs={width}'):
        metric.process(None, [sample.to_dict()])
    assert metric.results == []


def test_indices_of_the_data_set_may_be_columns_of_another_model():
    metric = CalibrationMetric('dataset')
    metric.dataset_meta = dict(indices=[1, 3], num_outputs=4)  # a background class before three
    metric.process(None, [score(0.4, 0.1, 0.3, 0.2, gt_label=label).to_dict() for label in (0, 1)])
    assert metric.results == [(pytest.approx(2 / 3), False), (pytest.approx(2 / 3), True)]


@pytest.mark.parametrize('flag', [0, 1])
def test_one_kind_only_is_one_sentence(flag):
    with pytest.raises(ValueError, match=f'OODMetric needs images of both kinds, but {2 * flag} of 2 have ood = 1'):
        evaluate(OODMetric(), [score(0.3, 0.7, ood=flag)] * 2)


@pytest.mark.parametrize('metric', [CalibrationMetric, OODMetric])
def test_a_test_set_without_images_is_one_sentence(metric):
    with pytest.raises(ValueError, match=r'at least one example|0 of 0'):
        evaluate(metric(), [])
