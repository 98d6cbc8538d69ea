"""ImageNet-A and ImageNet-O (Table 5): images as torchvision and Pillow give them, numbers as counted by hand."""

import hashlib
import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from torchvision import transforms

import mixpro_mm
from mixpro_mm.datasets.natural_adversarial import imagenet_wnids
from tests import config_rows
from tests.config_rows import CONFIGS

PRETRAIN = [path.stem for path in sorted((CONFIGS / 'pretrain').glob('*_mixup-cutmix_8xb128_in1k.py'))]
ROWS = dict(baseline='DeiT-S', transmix='TransMix-DeiT-S', mixpro='MixPro-DeiT-S')
INDICES = list(range(3, 1000, 5))
WNIDS = [imagenet_wnids()[index] for index in INDICES]
# what torchvision makes of an image, from which the authors of the two sets start
TORCHVISION = transforms.Compose(
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def path_of(kind):
    return CONFIGS / 'robustness' / f'deit-small_imagenet-{kind}.py'


def picture(generator, width, height, mode='RGB'):
    """Blots in shades of some colour, with sharp edges, where filters and half a pixel show."""
    blots = generator.integers(0, 156, 3) + generator.integers(0, 100, (5, 7, 3))
    image = Image.fromarray(blots.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)
    return image.convert(mode)


def as_by_torchvision(path):
    return TORCHVISION(Image.open(path).convert('RGB'))


def small(path):
    """A config with its own model in little; it still knows its file."""
    config = Config(config_rows.read(path).to_dict(), filename=str(path))
    arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
    config.model.backbone.update(arch=arch, patch_size=32)
    config.model.head.in_channels = 32
    config.model.pop('init_cfg')
    return config


@pytest.fixture(scope='module')
def classifier():
    """The model of the configs, made small, with weights that tell one image from another."""
    config = small(path_of('a'))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith('weight') and parameter.ndim > 1:  # the rest adds the same to all images
            torch.nn.init.normal_(parameter, std=0.5)
    return model


@torch.no_grad()
def of_the_200(model, path):
    """Confidence, and which of the 200 classes it is in."""
    logits = model.head(model.extract_feat(as_by_torchvision(path)[None]))[0, INDICES].double()
    scores = (logits - logits.max()).exp() / (logits - logits.max()).exp().sum()
    return scores.max().item(), scores.argmax().item()


class Keep(Hook):
    """Keeps what the model said of every image, by its path."""

    def __init__(self):
        self.samples = {}

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.samples |= {sample.img_path: sample for sample in outputs}


def run(kind, classifier, tmp_path, **dataset):
    """Test the small model from a checkpoint by a config, as the host's tool does; metrics, and samples by path."""
    config = small(path_of(kind))
    torch.save(dict(state_dict=classifier.state_dict(), meta={}), tmp_path / 'epoch_300.pth')
    config.load_from = str(tmp_path / 'epoch_300.pth')
    config.test_dataloader.dataset.update(dataset)
    config.test_dataloader.update(num_workers=0, collate_fn=dict(type='default_collate'))
    config.work_dir = str(tmp_path / 'work_dir')
    config.experiment_name = f'{tmp_path.name}-{next(config_rows.SERIAL)}'
    keep = Keep()
    with mock.patch.object(Config, 'pretty_text', ''):  # a second each time
        runner = Runner.from_cfg(config)
        runner.register_hook(keep)
        return runner.test(), keep.samples


def check_record(tmp_path, out, kind, metrics, images):
    """The record beside the numbers: what was tested, on what, by which file of weights."""
    record = json.loads((tmp_path / 'work_dir' / out).read_text())
    settings = record.pop('settings')
    assert record == dict(
        kind='test', label=path_of(kind).stem, config=str(path_of(kind)), images=images, metrics=metrics,
        checkpoint=str(tmp_path / 'epoch_300.pth'), version=mixpro_mm.__version__,
        sha256=hashlib.sha256((tmp_path / 'epoch_300.pth').read_bytes()).hexdigest(),
    )  # fmt: skip
    name = dict(a='CalibrationMetric', o='OODMetric')[kind]
    assert settings['evaluator'] == dict(type=f'mixpro_mm.{name}', classes='dataset')
    assert (settings['dataset'], settings['indices']) == (f'ImageNet{kind.upper()}', INDICES)
    assert settings['data_root'] == str(tmp_path / f'imagenet-{kind}')


def test_headers_have_the_rows_of_table_5_and_the_command():
    table5 = config_rows.read(CONFIGS / '_base_' / 'paper.py').table5['deit-small'].to_dict()
    assert table5 == dict(
        baseline=(19.1, 32.0, 23.8, 20.9), transmix=(21.1, 31.2, 28.8, 21.9), mixpro=(22.4, 30.3, 32.4, 23.1)
    )
    for kind, words in dict(a='top-1 {:.1f}, calibration error {:.1f}, AURRA {:.1f}', o='AUPR {3:.1f}').items():
        lines = config_rows.header(path_of(kind))
        paper = [line for line in lines if line.startswith('# Paper:')]
        rows = [f'{name}: {words.format(*table5[method])}' for method, name in ROWS.items()]
        assert paper == [f'# Paper:    Table 5, {row}; not run here' for row in rows]
        (command,) = (line.removeprefix('# Run:').split() for line in lines if line.startswith('# Run:'))
        name = f'configs/robustness/{path_of(kind).name}'
        assert command[:5] == ['mim', 'test', 'onedl-mmpretrain', name, '--checkpoint']
        work_dir, checkpoint = Path(command[5]).parent, Path(command[5]).name
        pretrain = config_rows.read(CONFIGS / 'pretrain' / f'{work_dir.name}.py')
        assert (str(work_dir.parent), checkpoint) == ('work_dirs', f'epoch_{pretrain.train_cfg.max_epochs}.pth')


@pytest.mark.parametrize('kind', 'ao')
def test_only_what_is_tested_differs_from_the_pre_training(kind):
    ours = config_rows.read(path_of(kind)).to_dict()
    base = config_rows.read(CONFIGS / '_base_' / 'natural_adversarial.py').to_dict()
    pretrain = config_rows.read(CONFIGS / 'pretrain' / 'deit-small_mixup-cutmix_8xb128_in1k.py').to_dict()
    assert ours.pop('test_dataloader') == dict(pretrain.pop('test_dataloader'), dataset=base[f'imagenet_{kind}'])
    pretrain.pop('test_evaluator')
    metric = dict(a='mixpro_mm.CalibrationMetric', o='mixpro_mm.OODMetric')[kind]
    assert ours.pop('test_evaluator') == dict(type=metric, classes='dataset')
    out = dict(a='calibration.json', o='ood.json')[kind]
    assert ours.pop('test_cfg') == dict(pretrain.pop('test_cfg'), type='mixpro_mm.RecordedTestLoop', out=out)
    assert ours == pretrain | base


def test_another_model_is_one_line(tmp_path):
    assert len(PRETRAIN) == 14
    for number, stem in enumerate(PRETRAIN):
        kind = 'ao'[number % 2]
        text = path_of(kind).read_text().replace('../', f'{CONFIGS}/')
        (tmp_path / f'{stem}.py').write_text(
            text.replace('pretrain/deit-small_mixup-cutmix_8xb128_in1k', f'pretrain/{stem}')
        )
        other, deit = config_rows.read(tmp_path / f'{stem}.py'), config_rows.read(path_of(kind))
        assert other.model == config_rows.read(CONFIGS / 'pretrain' / f'{stem}.py').model
        for key in ('test_dataloader', 'test_evaluator', 'test_cfg', 'data_preprocessor'):
            assert other[key] == deit[key], (stem, key)


@pytest.mark.parametrize('kind', 'ao')
@pytest.mark.parametrize(
    ('width', 'height', 'mode', 'turned'),
    [
        (640, 427, 'RGB', 1),
        (333, 501, 'RGB', 1),
        (90, 61, 'RGB', 1),
        (501, 500, 'RGB', 6),  # by its EXIF, on its side
        (300, 400, 'RGB', 3),
        (257, 384, 'L', 1),
        (301, 256, 'CMYK', 1),
    ],
)
def test_images_are_those_of_torchvision(kind, width, height, mode, turned, classifier, tmp_path):
    path = tmp_path / 'a.jpg'
    exif = Image.Exif()
    exif[0x0112] = turned
    picture(np.random.default_rng(width), width, height, mode).save(path, exif=exif, quality=95)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = config_rows.read(path_of(kind)).test_dataloader.dataset.pipeline
        packed = Compose([TRANSFORMS.build(dict(step)) for step in pipeline])(dict(img_path=str(path), ood=1))
    inputs = classifier.data_preprocessor(dict(inputs=packed['inputs'][None]))['inputs'][0]
    torch.testing.assert_close(inputs, as_by_torchvision(path), atol=1e-5, rtol=0)
    assert packed['data_samples'].ood == 1


def test_imagenet_a_counts_as_by_hand(classifier, tmp_path):
    generator = np.random.default_rng(1)
    root = tmp_path / 'imagenet-a'
    truth = {}
    for label, wnid in enumerate(WNIDS):
        (root / wnid).mkdir(parents=True)
        path = root / wnid / '0.jpg'
        picture(generator, 70 + label % 30, 60 + label % 40).save(path)
        truth[path] = label
    predicted = {path: of_the_200(classifier, path) for path in truth}
    for number, path in enumerate(list(truth)):  # every other image once more, where the model would put it
        if number % 2:
            label = predicted[path][1]
            copy = root / WNIDS[label] / f'{number}_copy.jpg'
            copy.symlink_to(path)
            truth[copy], predicted[copy] = label, predicted[path]
    assert len(truth) == 300
    metrics, samples = run('a', classifier, tmp_path, data_root=str(root), num_images=300)

    assert {path: sample.gt_label.item() for path, sample in samples.items()} == {
        str(path): label for path, label in truth.items()
    }
    confidence, correct = np.array([(predicted[p][0], predicted[p][1] == label) for p, label in truth.items()]).T
    assert 90 < correct.sum() < 110 and len({predicted[path][1] for path in truth}) > 20
    assert np.ptp(confidence) > 0.2
    assert metrics['calibration/top1'] == pytest.approx(100 * correct.mean())
    # each pair of twins is tied in confidence: take the mean over both orders, as good as a tie gets
    values = np.unique(confidence)
    share = np.array([correct[confidence == value].mean() for value in values])
    times = np.array([(confidence == value).sum() for value in values])
    ranked = np.repeat(share, times), np.repeat(values, times)
    right = ranked[0][::-1]
    aurra = sum(right[:k].sum() / k for k in range(1, 301)) / 300
    assert metrics['calibration/aurra'] == pytest.approx(100 * aurra, abs=0.02)
    bins = [(ranked[0][n : n + 100].mean() - ranked[1][n : n + 100].mean()) ** 2 / 3 for n in (0, 100, 200)]
    assert metrics['calibration/rms_calibration_error'] == pytest.approx(100 * sum(bins[:2]) ** 0.5, abs=0.02)
    assert metrics['calibration/rms_calibration_error_full'] == pytest.approx(100 * sum(bins) ** 0.5, abs=0.02)
    check_record(tmp_path, 'calibration.json', 'a', metrics, 300)


def test_imagenet_o_counts_as_by_hand(classifier, tmp_path):
    generator = np.random.default_rng(2)
    root, imagenet = tmp_path / 'imagenet-o', tmp_path / 'imagenet'
    for folder in ('meta', 'val'):
        (imagenet / folder).mkdir(parents=True)
    (imagenet / 'val' / 'none.JPEG').touch()  # of another class, hence never opened
    outside, known, lines = [], [], ['none.JPEG 0']
    for label, wnid in enumerate(WNIDS):
        (root / wnid).mkdir(parents=True)
        outside.append(root / wnid / 'x.jpg')
        known.append(imagenet / 'val' / f'{label}.JPEG')
        lines.append(f'{label}.JPEG {INDICES[label]}')
        picture(generator, 80, 60).save(known[-1])
        picture(generator, 80, 60).point(lambda value: value // 2 + 60).save(outside[-1])
    (imagenet / 'meta' / 'val.txt').write_text('\n'.join(lines))
    counts = dict(num_images=200, num_val_images=200)
    metrics, samples = run('o', classifier, tmp_path, data_root=str(root), imagenet_root=str(imagenet), **counts)

    assert {path: sample.ood for path, sample in samples.items()} == {
        str(path): ood for ood, paths in enumerate((known, outside)) for path in paths
    }
    scores = {path: of_the_200(classifier, Path(path))[0] for path in samples}
    positives = precisions = 0
    for rank, path in enumerate(sorted(samples, key=scores.get), start=1):  # the least confident first
        if samples[path].ood:
            positives += 1
            precisions += positives / rank
    assert positives == 200
    assert 0.3 < precisions / 200 < 0.95
    assert metrics['ood/aupr'] == pytest.approx(100 * precisions / 200, abs=0.02)
    beaten = sum(scores[str(o)] < scores[str(k)] for o in outside for k in known)
    assert metrics['ood/auroc'] == pytest.approx(100 * beaten / 200**2, abs=0.02)
    check_record(tmp_path, 'ood.json', 'o', metrics, 400)
    for path, sample in samples.items():  # softmax over the 200, not over the 1,000
        part = sample.pred_score[INDICES].double()
        assert (part.max() / part.sum()).item() == pytest.approx(scores[path], abs=1e-4)


def test_a_set_that_is_not_whole_stops_the_test_before_it_begins(classifier, tmp_path):
    (tmp_path / 'imagenet-a' / WNIDS[0]).mkdir(parents=True)
    with pytest.raises(ValueError, match='is not whole: it has 1 folder of classes of ImageNet-1k instead of 200'):
        run('a', classifier, tmp_path, data_root=str(tmp_path / 'imagenet-a'))
