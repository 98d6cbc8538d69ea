"""Functions for tests of configs: reading, headers, and short runs."""

import functools
import itertools
import math
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

CONFIGS = Path(__file__).parents[1] / 'configs'
SERIAL = itertools.count()
FIND = functools.cache(Config._get_cfg_path)  # otherwise each config reads all metafiles of mmpretrain


@functools.cache
def read(path):
    """Return a resolved config; do not modify it."""
    with mock.patch.object(Config, '_get_cfg_path', FIND):
        return Config.fromfile(path)


def fresh(path, options=None):
    """Return a copy with ``cfg_options`` merged."""
    config = Config(read(path).to_dict())
    config.merge_from_dict(options or {})
    return config


def header(path):
    return list(itertools.takewhile(lambda line: line.startswith('# '), path.read_text(encoding='utf-8').splitlines()))


def flat(value, path=''):
    """Return the leaves of a config by dotted path; a list without dicts is a leaf."""
    if isinstance(value, list | tuple) and not any(isinstance(item, dict | list | tuple) for item in value):
        return {path[1:]: list(value)}
    if isinstance(value, dict | list | tuple) and value:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [flat(item, f'{path}.{key}') for key, item in items if key != '_scope_']
        return {key: leaf for part in parts for key, leaf in part.items()}
    return {path[1:]: value}


class Watch(Hook):
    """Store losses, learning rates, metrics and predictions; stop after one epoch."""

    def __init__(self):
        self.losses, self.rates, self.metrics, self.samples = [], [], None, []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({key: value.item() for key, value in outputs.items() if key.startswith('loss')})
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = True

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.samples += outputs


def run(config, work_dir, call=Runner.train, loader=None):
    """Train or test with the Runner of a config, without slow logs; return runner, Watch and result."""
    config, watch = Config(config.to_dict()), Watch()  # a Runner modifies its config
    config.work_dir, config.experiment_name = str(work_dir), f'{Path(work_dir).name}-{next(SERIAL)}'
    with mock.patch.object(Config, 'pretty_text', ''), mock.patch.object(Runner, '_log_env'):
        runner = Runner.from_cfg(config)
        runner.register_hook(watch)
        runner._train_dataloader = loader or runner._train_dataloader
        return runner, watch, call(runner)


def loader_of(config, batch_size, **dataset):
    """Build the training dataloader of a config without workers."""
    loader = dict(config.train_dataloader.to_dict(), batch_size=batch_size, num_workers=0, persistent_workers=False)
    loader['dataset'].update(dataset)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Runner.build_dataloader(loader)


def imagenet(root, size=224):
    """Write two images in the layout of ImageNet; return their loader with the training pipeline at a size."""
    for folder in ('meta', 'train'):
        (root / folder).mkdir()
    generator = np.random.default_rng(0)
    for n in range(2):
        blots = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(root / 'train' / f'{n}.JPEG'), cv2.resize(blots, (320, 240), interpolation=cv2.INTER_CUBIC))
    (root / 'meta' / 'train.txt').write_text('0.JPEG 7\n1.JPEG 931\n')
    config = fresh(CONFIGS / 'pretrain' / 'deit-small_mixup-cutmix_8xb128_in1k.py')
    config.train_dataloader.dataset.pipeline[0].scale = size
    return loader_of(config, 2, data_root=str(root))


def train(config, loader, work_dir):
    """Train one epoch with the last augment only, check losses and logged weights, and return the runner."""
    config = Config(config.to_dict())
    if mixing := config.model.get('train_cfg'):
        mixing.probs = [0.0] * (len(mixing.augments) - 1) + [1.0]
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator', 'test_dataloader', 'test_cfg', 'test_evaluator'):
        config[key] = None
    config.randomness, config.default_hooks.checkpoint = dict(seed=0), None
    runner, watch, _ = run(config, work_dir, loader=loader)
    assert len(watch.losses) == len(loader)
    assert all(math.isfinite(losses['loss']) and losses['loss'] > 0 for losses in watch.losses)
    rules = [hook.get('labeling', 'PAL') for hook in config.get('custom_hooks', []) if 'LabelingHook' in hook.type]
    weights = {'lam_area'} if rules == ['AreaLabeling'] else {'factor', 'lam_attn', 'lam_area'} if rules else set()
    logged = {name: runner.message_hub.log_scalars.get(f'train/{name}') for name in ('factor', 'lam_attn', 'lam_area')}
    assert {name for name, value in logged.items() if value} == weights
    assert all(0 <= logged[name].current() <= 1 for name in weights)
    return runner
