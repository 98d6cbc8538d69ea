"""Robustness configs: images compared with torchvision, metrics with scikit-learn."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score
from torchvision import transforms

from mixpro_mm.datasets import FashionMNIST, FashionO, fashion_adversarial
from mixpro_mm.datasets.imagenet_variants import imagenet_wnids
from tests.config_rows import CONFIGS, fresh, header, read, run
from tests.datasets.conftest import tiny_fashion  # noqa: F401

INDICES = list(range(3, 1000, 5))
WNIDS = [imagenet_wnids()[index] for index in INDICES]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TORCHVISION = [transforms.Resize(256), transforms.CenterCrop(224)]  # as the authors of the two sets
TORCHVISION = transforms.Compose([*TORCHVISION, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])


def config_of(name):
    """Return a config; a model of ImageNet is reduced."""
    config = fresh(CONFIGS / 'robustness' / f'{name}.py')
    if 'small' in name:
        arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
        config.model.backbone.update(arch=arch, patch_size=32)
        config.model.head.in_channels = 32
        config.model.pop('init_cfg')
    return config


def drawn(name):
    """Build the model of a config with weights that distinguish images."""
    config = config_of(name)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(config.model, data_preprocessor=config.data_preprocessor)).eval()
    for key, parameter in model.named_parameters():
        if key.endswith('weight') and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.5 if 'small' in name else 0.3)
    return model


@torch.no_grad()
def scores_of(model, inputs):
    """Return softmax scores of normalized images (N, 3, H, W), for the 200 classes in ImageNet."""
    logits = model.head(model.extract_feat(inputs))
    return (logits[:, INDICES] if logits.shape[1] == 1000 else logits).double().softmax(1).numpy()


def evaluated(name, model, tmp_path, **dataset):
    """Test a model from a checkpoint; return metrics and predictions."""
    config = config_of(name)
    config.load_from = str(tmp_path / 'epoch.pth')
    torch.save(dict(state_dict=model.state_dict(), meta={}), config.load_from)
    if 'saliency' in config.test_cfg:
        config.test_cfg.saliency.checkpoint, config.test_cfg.repeats = config.load_from, 1
    config.test_dataloader.dataset.update(dataset)
    config.test_dataloader.update(num_workers=0, persistent_workers=False)
    _, watch, metrics = run(config, tmp_path / 'work_dir', Runner.test)
    return metrics, watch.samples


def draw(path, seed, size=(80, 60), mode='RGB', **options):
    """Write an image with sharp edges, which shows differences of half a pixel; return its path."""
    generator = np.random.default_rng(seed)
    blots = generator.integers(0, 156, 3) + generator.integers(0, 100, (5, 7, 3))
    image = Image.fromarray(blots.astype(np.uint8)).resize(size, Image.Resampling.NEAREST).convert(mode)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=95, **options)
    return path


def as_by_torchvision(paths):
    return torch.stack([TORCHVISION(Image.open(path).convert('RGB')) for path in paths])


@pytest.mark.parametrize('kind', 'ao')
def test_images_equal_torchvision(kind, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    paths = [draw(tmp_path / f'{n}.jpg', n, size) for n, size in enumerate([(640, 427), (90, 61)])]
    paths += [draw(tmp_path / '2.jpg', 2, (501, 500), exif=turned), draw(tmp_path / '3.jpg', 3, (301, 256), 'CMYK')]
    config = config_of(f'deit-small_imagenet-{kind}')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose([TRANSFORMS.build(step) for step in config.test_dataloader.dataset.pipeline])
        preprocessor = MODELS.build(dict(config.data_preprocessor, type='ClsDataPreprocessor'))
    packed = [pipeline(dict(img_path=str(path), ood=1)) for path in paths]
    inputs = preprocessor(dict(inputs=torch.stack([item['inputs'] for item in packed])))['inputs']
    torch.testing.assert_close(inputs, as_by_torchvision(paths), atol=1e-5, rtol=0)
    assert packed[0]['data_samples'].ood == 1


def test_imagenet_a_uses_its_200_classes(tmp_path):
    model, root = drawn('deit-small_imagenet-a'), tmp_path / 'imagenet-a'
    paths = [draw(root / wnid / '0.jpg', label, (70 + label % 30, 60)) for label, wnid in enumerate(WNIDS)]
    predicted = scores_of(model, as_by_torchvision(paths)).argmax(1)
    for number in range(0, 200, 2):  # every second image again, in the predicted class
        (root / WNIDS[predicted[number]] / f'{number}_copy.jpg').symlink_to(paths[number])
    metrics, samples = evaluated('deit-small_imagenet-a', model, tmp_path, data_root=str(root), num_images=300)
    assert len(samples) == 300 and len(set(predicted)) > 20
    assert metrics['calibration/top1'] == pytest.approx((100 + (predicted == np.arange(200)).sum()) / 3)


@torch.no_grad()
def fashion_scores(model, dataset):
    images = torch.tensor(np.stack([item['img'] for item in dataset])).permute(0, 3, 1, 2)
    return torch.stack([sample.pred_score for sample in model.test_step(dict(inputs=images))]).double().numpy()


@pytest.fixture
def data_root(request):
    return str(request.getfixturevalue('tiny_fashion'))


@pytest.mark.parametrize('name', ['calibration_fashion', 'fashion-a', 'occlusion_fashion'])
def test_fashion_images_are_classified(name, data_root, tmp_path, monkeypatch):
    chosen = range(0, 20, 3) if name == 'fashion-a' else range(20)
    monkeypatch.setattr(fashion_adversarial, 'read_filtered_fashion', lambda: dict(adversarial=dict(all=chosen)))
    model, config = drawn(f'deit-micro_{name}'), config_of(f'deit-micro_{name}')
    dataset = FashionMNIST(data_root, 'test', img_size=config.test_dataloader.dataset.img_size)
    correct = (fashion_scores(model, dataset).argmax(1) == dataset.get_gt_labels())[list(chosen)]
    assert 0 < correct.sum() < len(chosen)
    options = dict(num_images=20) if 'occlusion' in name else {}
    metrics, _ = evaluated(f'deit-micro_{name}', model, tmp_path, data_root=data_root, **options)
    tops = ['accuracy/top1', 'occlusion/random_0', 'occlusion/non-salient_0'] if options else ['calibration/top1']
    assert [metrics[top] for top in tops] == pytest.approx([100 * correct.mean()] * len(tops), abs=1e-4)
    assert options or 'calibration/ece' in metrics


@pytest.mark.parametrize(('name', 'unknown', 'count'), [('fashion-o', 'digits', 60), ('fashion-o-near', 'classes', 20)])
def test_unknown_images_are_detected(name, unknown, count, data_root, tmp_path):
    model, config = drawn(f'deit-micro_{name}'), config_of(f'deit-micro_{name}').test_dataloader.dataset
    own = dict(classes=config.classes) if 'classes' in config else {}
    items = list(FashionO(data_root, unknown=unknown, img_size=config.img_size, indices=count, **own))
    ood, confidence = np.array([item['ood'] for item in items]), fashion_scores(model, items).max(1)
    metrics, samples = evaluated(f'deit-micro_{name}', model, tmp_path, data_root=data_root, indices=count)
    assert len(samples) == count and [sample.ood for sample in samples] == ood.tolist()
    assert metrics['ood/aupr'] == pytest.approx(100 * average_precision_score(ood, -confidence), abs=0.05)
    assert metrics['ood/auroc'] == pytest.approx(100 * roc_auc_score(ood, -confidence), abs=0.05)


def test_the_saliency_model_of_fashion_is_none_of_the_compared_models():
    name = 'deit-micro_occlusion_fashion'
    tested = config_of(name).test_cfg
    checkpoint = Path(tested.saliency.pop('checkpoint'))
    trained = read(CONFIGS / 'fashion' / 'evidence' / f'{checkpoint.parent.name}.py')
    assert checkpoint.name == f'epoch_{trained.train_cfg.max_epochs}.pth'
    assert f'# Needs:    {checkpoint} from' in ' '.join(header(CONFIGS / 'robustness' / f'{name}.py'))
    assert tested.saliency == trained.model.backbone
    assert not trained.model.train_cfg and not trained.custom_hooks and trained.randomness.seed == 100
    assert tested.grid * trained.model.backbone.patch_size == trained.test_dataloader.dataset.img_size
