"""Robustness on the digits 0 to 7: each test config run as by the host's tool, its numbers against the definitions."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from sklearn.metrics import average_precision_score, roc_auc_score

from mixpro_mm.datasets import Digits, DigitsA, DigitsO
from tests import config_rows
from tests.config_rows import CONFIGS

EVIDENCE = CONFIGS / 'digits' / 'evidence'
MIXPRO = EVIDENCE / 'deit-micro_mixpro_digits-8.py'
CNN = EVIDENCE / 'filter_resnet-micro_digits-8.py'
NAMES = ('digits-a', 'digits-o', 'occlusion_digits-8')


def path_of(name):
    return CONFIGS / 'robustness' / f'deit-micro_{name}.py'


@pytest.fixture(scope='module')
def classifier():
    """The model of the configs with weights that tell one image from another."""
    config = config_rows.fresh(MIXPRO)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith('weight') and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@torch.no_grad()
def scores_of(model, dataset):
    """Softmax (N, 8) of images that are turned to RGB and normalised here."""
    images = np.stack([item['img'] for item in dataset])[..., ::-1].astype(np.float64)
    images = (images - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375)
    logits = model.head(model.extract_feat(torch.tensor(images.transpose(0, 3, 1, 2), dtype=torch.float32)))
    return logits.double().softmax(1).numpy()


class Keep(Hook):
    """Keeps what the model said of every image."""

    def __init__(self):
        self.samples = []

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.samples += outputs


def run(name, classifier, tmp_path, **dataset):
    config = config_rows.fresh(path_of(name))
    torch.save(dict(state_dict=classifier.state_dict(), meta={}), tmp_path / 'epoch_25.pth')
    config.load_from = str(tmp_path / 'epoch_25.pth')
    if 'saliency' in config.test_cfg:
        config.test_cfg.saliency.checkpoint = config.load_from
    config.test_dataloader.dataset.update(dataset)
    config.work_dir = str(tmp_path / 'work_dir')
    config.experiment_name = f'{tmp_path.name}-{next(config_rows.SERIAL)}'
    keep = Keep()
    with mock.patch.object(Config, 'pretty_text', ''):  # a second each time
        runner = Runner.from_cfg(config)
        runner.register_hook(keep)
        return runner.test(), keep.samples


@pytest.mark.parametrize('name', NAMES)
def test_only_what_is_tested_differs_from_the_pre_training(name):
    ours, base = config_rows.read(path_of(name)).to_dict(), config_rows.read(MIXPRO).to_dict()
    tested = {'test_dataloader', 'test_evaluator', 'test_cfg', 'packed', 'pipeline'}
    assert {key: ours[key] for key in ours.keys() - tested} == {key: base[key] for key in base.keys() - tested}
    loader = ours['test_dataloader']
    assert {key: loader[key] for key in loader.keys() - {'dataset'}} == {
        key: base['test_dataloader'][key] for key in base['test_dataloader'].keys() - {'dataset'}
    }


@pytest.mark.parametrize('name', NAMES)
def test_headers_have_the_command_and_make_no_claim_of_a_published_number(name):
    lines = config_rows.header(path_of(name))
    (command,) = (line.removeprefix('# Run:').split() for line in lines if line.startswith('# Run:'))
    assert command[:5] == [
        'mim',
        'test',
        'onedl-mmpretrain',
        f'configs/robustness/{path_of(name).name}',
        '--checkpoint',
    ]
    checkpoint = Path(command[5])
    pretrain = config_rows.read(EVIDENCE / f'{checkpoint.parent.name}.py')
    assert checkpoint.name == f'epoch_{pretrain.train_cfg.max_epochs}.pth'
    assert not any(line.startswith('# Paper:') for line in lines)
    if name != 'occlusion_digits-8':
        letter = name[-1].upper()
        text = ' '.join(line.removeprefix('# ') for line in lines)
        assert f'filtered the way ImageNet-{letter} was, not ImageNet-{letter}: there is no published number' in text


def test_occlusion_is_that_of_the_digits_with_fewer_repeats_calibration_and_a_model_of_its_own_for_saliency():
    ours, other = (config_rows.read(path_of(name)) for name in ('occlusion_digits-8', 'occlusion_digits'))
    saliency = ours.test_cfg.saliency
    assert ours.test_cfg == dict(other.test_cfg, repeats=3, saliency=saliency)
    own = config_rows.read(EVIDENCE / f'{Path(saliency.checkpoint).parent.name}.py')
    assert Path(saliency.checkpoint).name == f'epoch_{own.train_cfg.max_epochs}.pth'
    assert dict(own.model.backbone, **saliency) == dict(saliency, **own.model.backbone)
    assert ours.test_evaluator == [other.test_evaluator, dict(type='mixpro_mm.CalibrationMetric', bin_size=20)]


def test_digits_a_counts_as_by_hand(classifier, tmp_path):
    metrics, samples = run('digits-a', classifier, tmp_path)
    dataset = DigitsA()
    scores, labels = scores_of(classifier, dataset), dataset.get_gt_labels()
    assert np.array_equal(torch.cat([sample.gt_label for sample in samples]).numpy(), labels)
    confidence, correct = scores.max(1), scores.argmax(1) == labels
    assert np.ptp(confidence) > 0.2 and len(set(scores.argmax(1))) > 3
    assert metrics['calibration/top1'] == pytest.approx(100 * correct.mean(), abs=1e-6)
    order = np.argsort(confidence)
    ranked = correct[order][::-1]
    assert metrics['calibration/aurra'] == pytest.approx(100 * np.mean(ranked.cumsum() / np.arange(1, 440)), abs=0.05)
    bins = np.split(order, range(25, 425 + 1, 25))  # of 25; the last bin also takes the 14 that are left
    bins = [*bins[:-2], np.concatenate(bins[-2:])]
    assert [len(members) for members in bins] == [25] * 16 + [39]
    terms = [len(b) * (confidence[b].mean() - correct[b].mean()) ** 2 / 439 for b in bins]
    assert metrics['calibration/rms_calibration_error'] == pytest.approx(100 * sum(terms[:-1]) ** 0.5, abs=0.05)
    bins = np.minimum((15 * confidence).astype(int), 14)
    gaps = [abs((confidence - correct)[bins == b].sum()) for b in range(15)]
    assert metrics['calibration/ece'] == pytest.approx(100 * sum(gaps) / 439, abs=0.05)


def test_digits_o_counts_as_by_scikit_learn(classifier, tmp_path):
    metrics, samples = run('digits-o', classifier, tmp_path)
    dataset = DigitsO()
    ood = np.array([item['ood'] for item in dataset])
    assert [sample.ood for sample in samples] == ood.tolist()
    text = ' '.join(config_rows.header(path_of('digits-o')))
    chance = f'{ood.sum()} of the {len(ood)} images are of 8 or 9, so chance of aupr is {100 * ood.mean():.1f}'
    assert chance in text
    confidence = scores_of(classifier, dataset).max(1)
    assert metrics['ood/aupr'] == pytest.approx(100 * average_precision_score(ood, -confidence), abs=0.05)
    assert metrics['ood/auroc'] == pytest.approx(100 * roc_auc_score(ood, -confidence), abs=0.05)
    assert 0 < metrics['ood/fpr95'] < 100
    accept = np.sort(confidence[ood == 1])[int(np.ceil(0.95 * ood.sum())) - 1]  # as sure as 95 % of 8 and 9 at most
    assert metrics['ood/fpr95'] == pytest.approx(100 * (confidence[ood == 0] <= accept).mean(), abs=0.4)


def test_occlusion_gives_curves_and_calibration_of_the_whole_scans_in_one_run(classifier, tmp_path):
    metrics, _ = run('occlusion_digits-8', classifier, tmp_path, indices=40)
    dataset = Digits(split='test', classes=range(8), indices=40)
    correct = scores_of(classifier, dataset).argmax(1) == dataset.get_gt_labels()
    assert 0 < correct.sum() < 40
    for name in ('accuracy/top1', 'calibration/top1', 'occlusion/random_0', 'occlusion/non-salient_0'):
        assert metrics[name] == pytest.approx(100 * correct.mean(), abs=1e-4)
    assert {'calibration/ece', 'calibration/rms_calibration_error', 'calibration/aurra'} <= set(metrics)
    for mode, least in (('random', 0), ('salient', 1), ('non-salient', 0)):
        points = [f'occlusion/{mode}_{(number + least) / 10:g}' for number in range(10)]
        assert set(points) <= set(metrics)
    black = scores_of(classifier, [dict(img=np.zeros((32, 32, 3), np.uint8))]).argmax()
    assert metrics['occlusion/salient_1'] == pytest.approx(100 * (dataset.get_gt_labels() == black).mean(), abs=1e-4)


def test_the_cnn_of_the_filter_is_trained_without_mixing_on_0_to_7_with_a_seed(tmp_path):
    config = config_rows.fresh(CNN)
    assert config.randomness.seed == 0 and config.train_cfg.max_epochs == 15
    assert 'train_cfg' not in config.model and 'custom_hooks' not in config
    base = config_rows.read(CONFIGS / 'digits' / 'ablation' / 'extractor_resnet-micro_digits.py').model.to_dict()
    base['head']['num_classes'] = 8
    assert config.model.to_dict() == base
    assert config.train_dataloader == dict(config_rows.read(MIXPRO).train_dataloader, batch_size=64)
    loader = config_rows.loader_of(config, 32, indices=64)
    runner = config_rows.train(config, loader, tmp_path, labeling=None)
    assert runner.model.head.fc.out_features == 8
