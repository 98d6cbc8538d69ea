"""ProbeTestLoop in a Runner, and its command line; run as a script, this file is one of two processes."""

import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import distributed

from mixpro_mm.datasets import Digits
from mixpro_mm.evaluation.probe_cli import main
from tests.evaluation.conftest import loader

TRAIN, TEST = 200, 60
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
MODEL = dict(
    type='ImageClassifier',
    backbone=dict(type='VisionTransformer', arch=ARCH, img_size=32, patch_size=4),
    head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=32),
)
TIMM = dict(type='TimmClassifier', model_name='vit_tiny_patch16_224', embed_dim=24, depth=1, num_heads=2, img_size=32)
SWIN = dict(
    type='ImageClassifier',
    backbone=dict(
        type='SwinTransformer',
        arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1]),
        img_size=32,
        patch_size=1,
        window_size=4,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=64),
)


def config_of(model=MODEL, **loop):
    flip = dict(type='RandomFlip', prob=1.0, direction='vertical')  # of the training, not of the probe
    data = loader(indices=TRAIN, split='train', pipeline=[flip])
    data['dataset'] = dict(type='RepeatDataset', times=3, dataset=data['dataset'])
    return Config(
        dict(
            default_scope='mmpretrain',
            model=model,
            data_preprocessor=dict(mean=[123.0] * 3, std=[60.0] * 3, num_classes=10),
            train_dataloader=data,
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            test_dataloader=loader(indices=TEST),
            test_evaluator=dict(type='Accuracy'),
            test_cfg=dict(dict(type='mixpro_mm.ProbeTestLoop', ks=[5, 20], cs=[0.1]), **loop),
        )
    )


def model_of(config, seed=1):
    torch.manual_seed(seed)
    settings = dict(copy.deepcopy(config.model), data_preprocessor=dict(config.data_preprocessor))
    return MODELS.build(dict(settings, _scope_='mmpretrain')).eval()


def saved(model, path):
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)


def test(config, folder, checkpoint=None):
    config.load_from, config.work_dir, config.experiment_name = checkpoint, str(folder), folder.name
    return Runner.from_cfg(config).test()


test.__test__ = False


def reference(model, extract, c):
    """Return top-1 of k-NN and logistic regression of scikit-learn on the digits without augmentation."""
    found = []
    for split, count in (('train', TRAIN), ('test', TEST)):
        dataset = Digits(split=split, indices=count)
        items = [dataset.get_data_info(number) for number in range(count)]
        images = torch.stack([torch.from_numpy(item['img']).permute(2, 0, 1) for item in items])
        with torch.no_grad():
            features = extract(model.data_preprocessor(dict(inputs=images))['inputs'])
        found += [features.double().numpy(), np.array([item['gt_label'] for item in items])]
    features, labels, tested, truth = found
    scores = {}
    for k in (5, 20):
        votes = KNeighborsClassifier(k, metric='cosine', weights=lambda distance: np.exp((1 - distance) / 0.07))
        scores[f'knn_{k}'] = 100 * votes.fit(features, labels).score(tested, truth)
    features, tested = ((each - features.mean(0)) / features.std(0, ddof=1) for each in (features, tested))
    scores['linear'] = 100 * LogisticRegression(C=c, max_iter=5000).fit(features, labels).score(tested, truth)
    return scores


@pytest.mark.parametrize(
    'settings, extract',
    [
        (MODEL, lambda model: lambda images: model.backbone(images)[-1]),
        (TIMM, lambda model: lambda images: model.model.forward_features(images)[:, 0]),
        (SWIN, lambda model: lambda images: model.backbone(images)[-1].mean((2, 3))),
    ],
    ids=['ViT', 'timm', 'Swin'],
)
def test_top1_is_that_of_scikit_learn(settings, extract, tmp_path):
    config = config_of(settings)
    model = model_of(config)
    metrics = test(config, tmp_path / 'probe', saved(model, tmp_path / 'model.pth'))
    wanted = reference(model, extract(model), 0.1)
    assert metrics['probe/knn_5'] == pytest.approx(wanted['knn_5'], abs=0.01)
    assert metrics['probe/knn_20'] == pytest.approx(wanted['knn_20'], abs=0.01)
    assert metrics['probe/linear'] == pytest.approx(wanted['linear'], abs=100 / TEST + 0.01)  # one image
    assert 20 < metrics['probe/linear'] < 100


def test_the_record_has_settings_and_held_out_results(tmp_path):
    config = config_of(random=True, cs=[1.0, 0.01])
    metrics = test(config, tmp_path / 'probe', saved(model_of(config), tmp_path / 'model.pth'))
    record = json.loads((tmp_path / 'probe' / 'probe.json').read_text())
    assert record['metrics'] == metrics and set(record['held_out']) == {'0.01', '1'}
    assert {'probe/random/knn_20', 'probe/random/linear', 'probe/linear'} < set(metrics)
    settings = record['settings']
    assert (settings['train_images'], settings['cs'], record['images']) == (TRAIN, [0.01, 1.0], TEST)
    assert settings['train_data']['pipeline'] == [dict(type='PackInputs')]


def test_random_weights_are_those_of_the_seed_without_a_checkpoint(tmp_path):
    config = config_of(random=True)
    path = saved(model_of(config, seed=5), tmp_path / 'model.pth')
    config.model.backbone.init_cfg = [dict(type='Pretrained', checkpoint=path, prefix='backbone.')]
    found = [test(copy.deepcopy(config), tmp_path / name, path) for name in ('first', 'again')]
    assert found[0] == found[1]
    differ = [found[0][f'probe/{name}'] != found[0][f'probe/random/{name}'] for name in ('knn_5', 'knn_20', 'linear')]
    assert any(differ)


def test_labels_that_features_do_not_contain_are_not_found(tmp_path):
    config = config_of()
    config.test_dataloader.dataset.indices = config.train_dataloader.dataset.dataset.indices = 200
    model = model_of(config)
    model.backbone.ln1.weight.data.zero_()
    metrics = test(config, tmp_path / 'probe', saved(model, tmp_path / 'model.pth'))
    assert max(metrics.values()) < 20


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda tensors: tensors.pop('backbone.layers.1.attn.qkv.weight'), r'lacks 1 of \d+ tensors'),
        (lambda tensors: [tensors.pop(key) for key in [*tensors] if 'backbone' in key], 'no backbone'),
        (lambda tensors: tensors.update({'backbone.pos_embed': torch.zeros(1, 65, 16)}), 'pos_embed'),
    ],
    ids=['a tensor is missing', 'only a head', 'another width'],
)
def test_a_checkpoint_that_does_not_fit_raises(change, message, tmp_path):
    config = config_of()
    tensors = model_of(config).state_dict()
    change(tensors)
    torch.save(dict(state_dict=tensors), tmp_path / 'model.pth')
    with pytest.raises((ValueError, AssertionError), match=message):
        test(config, tmp_path / 'probe', str(tmp_path / 'model.pth'))


@pytest.mark.parametrize('settings', [MODEL, TIMM], ids=['ViT', 'timm'])
def test_another_head_in_the_checkpoint_does_not_matter(settings, tmp_path):
    config = config_of(settings)
    model = model_of(config)
    first = test(copy.deepcopy(config), tmp_path / 'first', saved(model, tmp_path / 'model.pth'))
    tensors = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith('head')}
    tensors['head.weight' if settings is TIMM else 'head.layers.head.weight'] = torch.zeros(1000, 24)
    torch.save(tensors, tmp_path / 'other.pth')
    assert test(config, tmp_path / 'other', str(tmp_path / 'other.pth')) == first


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(ks=[0]), 'ks must be'),
        (dict(temperature=0), 'temperature must be'),
        (dict(cs=[0.1, -1.0]), 'cs must be'),
        (dict(held_out=-0.1), 'held_out must be'),
        (dict(held_out=1), r'held_out 1 do not fit 200 training images'),
        (dict(held_out=0.001), r'held_out 0.001 do not fit 200 training images'),
        (dict(ks=[1000]), r'ks \[1000\] .* 200 training images'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else '',
)
def test_invalid_settings_raise(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        test(config_of(**settings), tmp_path / 'probe')


def test_training_data_are_read_without_wrapper_and_augmentation(tmp_path):
    config = config_of()
    source = config.train_dataloader.dataset.dataset
    config.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[source, dict(source, indices=50)])
    test(config, tmp_path / 'probe')
    settings = json.loads((tmp_path / 'probe' / 'probe.json').read_text())['settings']
    assert settings['train_images'] == TRAIN + 50
    assert [each['pipeline'] for each in settings['train_data']['datasets']] == [[dict(type='PackInputs')]] * 2
    config.train_dataloader.dataset = dict(type='KFoldDataset', dataset=source, fold=0)
    with pytest.raises(ValueError, match='does not know the images in KFoldDataset'):
        test(config, tmp_path / 'folds')


def test_features_that_are_not_finite_raise(tmp_path):
    config = config_of()
    model = model_of(config)
    model.backbone.ln1.weight.data[3] = torch.inf
    with pytest.raises(ValueError, match='200 of 200 images are not finite'):
        test(config, tmp_path / 'probe', saved(model, tmp_path / 'model.pth'))


def test_the_command_prints_results_and_names_the_record(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = config_of()
    path = saved(model_of(config), tmp_path / 'model.pth')
    config.test_cfg = dict()
    config.dump('mine.py')
    options = ['--cfg-options', 'test_cfg.ks=[3]', 'test_cfg.cs=[0.1]']
    assert main(['mine.py', '--checkpoint', path, '--random', *options]) == 0
    record = json.loads((tmp_path / 'work_dirs/mine/probe/probe.json').read_text())
    printed = capsys.readouterr().out
    assert all(name in printed for name in record['metrics']) and 'work_dirs/mine/probe/probe.json' in printed
    names = [f'probe/{start}{name}' for start in ('', 'random/') for name in ('knn_3', 'linear')]
    assert [*record['metrics']] == names
    config.test_cfg = dict(type='mixpro_mm.ProbeTestLoop', ks=[4], cs=[0.1])
    config.dump('own.py')
    assert main(['own.py', '--checkpoint', path]) == 0
    assert 'probe/knn_4' in capsys.readouterr().out  # its own settings
    assert main(['mine.py', '--checkpoint', 'missing.pth']) == 1
    assert capsys.readouterr().err == 'probe: there is no checkpoint missing.pth\n'


def one_rank(rank, folder):
    """Probe on two ranks; 61 test images are padded."""
    distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    config = config_of()
    config.test_dataloader.dataset.indices = 61
    torch.save(test(config, Path(folder, 'probe'), f'{folder}/model.pth'), f'{folder}/rank{rank}.pth')
    distributed.destroy_process_group()


@pytest.mark.long
def test_two_ranks_probe_every_image_once(two_ranks, tmp_path):
    """The metrics equal those of a single process."""
    config = config_of()
    config.test_dataloader.dataset.indices = 61
    path = saved(model_of(config), tmp_path / 'model.pth')
    first, second = two_ranks(__file__)
    assert first == second == pytest.approx(test(config, tmp_path / 'alone', path))
    assert json.loads((tmp_path / 'probe' / 'probe.json').read_text())['settings']['processes'] == 2


if __name__ == '__main__':
    one_rank(int(sys.argv[1]), sys.argv[2])
