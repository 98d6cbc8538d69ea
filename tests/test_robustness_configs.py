"""Robustness configs: images compared with torchvision, metrics with scikit-learn."""

import hashlib
import json
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
from sklearn.metrics import average_precision_score, roc_auc_score
from torchvision import transforms

from mixpro_mm.datasets import Digits, DigitsA, DigitsO
from mixpro_mm.datasets.natural_adversarial import imagenet_wnids
from tests import config_rows
from tests.config_rows import CONFIGS, header, read

INDICES = list(range(3, 1000, 5))
WNIDS = [imagenet_wnids()[index] for index in INDICES]
TORCHVISION = transforms.Compose(  # as the authors of the two sets
    [
        transforms.Resize(256),
        transforms.CenterCrop(224),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


def path_of(name):
    return CONFIGS / 'robustness' / f'{name}.py'


def small(name):
    """Return a config; a model of ImageNet is reduced."""
    config = Config(read(path_of(name)).to_dict(), filename=str(path_of(name)))
    if 'small' in name:
        arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
        config.model.backbone.update(arch=arch, patch_size=32)
        config.model.head.in_channels = 32
        config.model.pop('init_cfg')
    return config


def drawn(name):
    """Build the model of a config with weights that distinguish images."""
    config = small(name)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor)).eval()
    for key, parameter in model.named_parameters():
        if key.endswith('weight') and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5 if 'small' in name else 0.3)
    return model


@pytest.fixture(scope='module')
def classifier():
    return drawn('deit-small_imagenet-a')


@pytest.fixture(scope='module')
def micro():
    return drawn('deit-micro_digits-a')


@torch.no_grad()
def scores_of(model, inputs):
    """Return softmax scores of normalized images (N, 3, H, W), for the 200 classes in ImageNet."""
    logits = model.head(model.extract_feat(inputs))
    return (logits[:, INDICES] if logits.shape[1] == 1000 else logits).double().softmax(1).numpy()


def of_digits(dataset):
    images = np.stack([item['img'] for item in dataset])[..., ::-1].astype(np.float64)
    images = (images - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375)
    return torch.tensor(images.transpose(0, 3, 1, 2), dtype=torch.float32)


class Keep(Hook):
    """Store the predictions."""

    def __init__(self):
        self.samples = []

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.samples += outputs


def run(name, model, tmp_path, **dataset):
    """Test a model from a checkpoint; return metrics and predictions."""
    config = small(name)
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'epoch.pth')
    config.load_from = str(tmp_path / 'epoch.pth')
    if 'saliency' in config.test_cfg:
        config.test_cfg.saliency.checkpoint, config.test_cfg.repeats = config.load_from, 1
    config.test_dataloader.dataset.update(dataset)
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    config.work_dir = str(tmp_path / 'work_dir')
    config.experiment_name = f'{tmp_path.name}-{next(config_rows.SERIAL)}'
    keep = Keep()
    with mock.patch.object(Config, 'pretty_text', ''), mock.patch.object(Runner, '_log_env'):  # slow
        runner = Runner.from_cfg(config)
        runner.register_hook(keep)
        return runner.test(), keep.samples


def picture(generator, width, height, mode='RGB'):
    """Draw an image with sharp edges, which shows differences of half a pixel."""
    blots = generator.integers(0, 156, 3) + generator.integers(0, 100, (5, 7, 3))
    return Image.fromarray(blots.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST).convert(mode)


def as_by_torchvision(paths):
    return torch.stack([TORCHVISION(Image.open(path).convert('RGB')) for path in paths])


@pytest.mark.parametrize('kind', 'ao')
@pytest.mark.parametrize(
    ('width', 'height', 'mode', 'turned'),
    [(640, 427, 'RGB', 1), (90, 61, 'RGB', 1), (501, 500, 'RGB', 6), (301, 256, 'CMYK', 1)],  # 6: rotated by EXIF
)
def test_images_equal_torchvision(kind, width, height, mode, turned, classifier, tmp_path):
    path, exif = tmp_path / 'a.jpg', Image.Exif()
    exif[0x0112] = turned
    picture(np.random.default_rng(width), width, height, mode).save(path, exif=exif, quality=95)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = read(path_of(f'deit-small_imagenet-{kind}')).test_dataloader.dataset.pipeline
        packed = Compose([TRANSFORMS.build(dict(step)) for step in pipeline])(dict(img_path=str(path), ood=1))
    inputs = classifier.data_preprocessor(dict(inputs=packed['inputs'][None]))['inputs']
    torch.testing.assert_close(inputs, as_by_torchvision([path]), atol=1e-5, rtol=0)
    assert packed['data_samples'].ood == 1


def test_imagenet_a_uses_its_200_classes(classifier, tmp_path):
    generator, paths = np.random.default_rng(1), []
    for label, wnid in enumerate(WNIDS):
        paths.append(tmp_path / 'imagenet-a' / wnid / '0.jpg')
        paths[-1].parent.mkdir(parents=True)
        picture(generator, 70 + label % 30, 60 + label % 40).save(paths[-1])
    predicted = scores_of(classifier, as_by_torchvision(paths)).argmax(1)
    for number in range(0, 200, 2):  # every second image again, in the predicted class
        copy = tmp_path / 'imagenet-a' / WNIDS[predicted[number]] / f'{number}_copy.jpg'
        copy.symlink_to(paths[number])
    metrics, samples = run(
        'deit-small_imagenet-a', classifier, tmp_path, data_root=str(tmp_path / 'imagenet-a'), num_images=300
    )
    correct = 100 + (predicted == np.arange(200)).sum()
    assert len(samples) == 300 and len(set(predicted)) > 20
    assert metrics['calibration/top1'] == pytest.approx(100 * correct / 300)
    record = json.loads((tmp_path / 'work_dir' / 'calibration.json').read_text())
    assert (record['metrics'], record['images'], record['label']) == (metrics, 300, 'deit-small_imagenet-a')
    assert record['sha256'] == hashlib.sha256((tmp_path / 'epoch.pth').read_bytes()).hexdigest()
    assert record['settings']['evaluator'] == dict(type='mixpro_mm.CalibrationMetric', classes='dataset')
    assert record['settings']['indices'] == INDICES
    with pytest.raises(ValueError, match='is not complete'):  # the set has 7,500 images
        run('deit-small_imagenet-a', classifier, tmp_path, data_root=str(tmp_path / 'imagenet-a'))


@pytest.mark.long
def test_imagenet_o_uses_the_same_200_classes(classifier, tmp_path):
    generator = np.random.default_rng(2)
    root, imagenet = tmp_path / 'imagenet-o', tmp_path / 'imagenet'
    for folder in ('meta', 'val'):
        (imagenet / folder).mkdir(parents=True)
    (imagenet / 'val' / 'none.JPEG').touch()  # of another class, not read
    outside, known, lines = [], [], ['none.JPEG 0']
    for label, wnid in enumerate(WNIDS):
        outside.append(root / wnid / 'x.jpg')
        outside[-1].parent.mkdir(parents=True)
        known.append(imagenet / 'val' / f'{label}.JPEG')
        lines.append(f'{label}.JPEG {INDICES[label]}')
        picture(generator, 80, 60).save(known[-1])
        picture(generator, 80, 60).point(lambda value: value // 2 + 60).save(outside[-1])
    (imagenet / 'meta' / 'val.txt').write_text('\n'.join(lines))
    counts = dict(data_root=str(root), imagenet_root=str(imagenet), num_images=200, num_val_images=200)
    metrics, samples = run('deit-small_imagenet-o', classifier, tmp_path, **counts)
    assert {sample.img_path: sample.ood for sample in samples} == {
        str(path): ood for ood, paths in enumerate((known, outside)) for path in paths
    }
    confidence = scores_of(classifier, as_by_torchvision(known + outside)).max(1)
    ood = np.repeat([0, 1], 200)
    assert metrics['ood/aupr'] == pytest.approx(100 * average_precision_score(ood, -confidence), abs=0.02)
    assert metrics['ood/auroc'] == pytest.approx(100 * roc_auc_score(ood, -confidence), abs=0.02)


@pytest.mark.long
def test_filtered_digits(micro, tmp_path):
    metrics, samples = run('deit-micro_digits-a', micro, tmp_path)
    dataset = DigitsA()
    labels = dataset.get_gt_labels()
    assert np.array_equal(torch.cat([sample.gt_label for sample in samples]).numpy(), labels)
    correct = scores_of(micro, of_digits(dataset)).argmax(1) == labels
    assert metrics['calibration/top1'] == pytest.approx(100 * correct.mean(), abs=1e-6)
    assert {'calibration/rms_calibration_error', 'calibration/aurra'} <= metrics.keys()
    metrics, samples = run('deit-micro_digits-o', micro, tmp_path)
    items = list(DigitsO())
    ood = np.array([item['ood'] for item in items])
    assert [sample.ood for sample in samples] == ood.tolist()
    said = f'{ood.sum()} of the {len(ood)} images are of 8 or 9, so aupr is {100 * ood.mean():.1f} by chance'
    assert said in ' '.join(header(path_of('deit-micro_digits-o')))
    confidence = scores_of(micro, of_digits(items)).max(1)
    assert metrics['ood/aupr'] == pytest.approx(100 * average_precision_score(ood, -confidence), abs=0.05)


def test_occlusion_measures_curves_and_calibration(micro, tmp_path):
    metrics, _ = run('deit-micro_occlusion_digits-8', micro, tmp_path, indices=40)
    dataset = Digits(split='test', classes=range(8), indices=40)
    correct = scores_of(micro, of_digits(dataset)).argmax(1) == dataset.get_gt_labels()
    assert 0 < correct.sum() < 40
    for name in ('accuracy/top1', 'calibration/top1', 'occlusion/random_0', 'occlusion/non-salient_0'):
        assert metrics[name] == pytest.approx(100 * correct.mean(), abs=1e-4)
    assert {'calibration/ece', 'calibration/rms_calibration_error', 'calibration/aurra'} <= set(metrics)
    for mode, least in (('random', 0), ('salient', 1), ('non-salient', 0)):
        assert {f'occlusion/{mode}_{(number + least) / 10:g}' for number in range(10)} <= set(metrics)
