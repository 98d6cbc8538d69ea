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


class Stop(Hook):
    """Stop training after one epoch, and store the losses."""

    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = True


def runner_of(config, loader, work_dir):
    """Build a Runner with model, optimizer, schedule and hooks of a config."""
    config = Config(config.to_dict())  # a Runner modifies its config
    own = ('model', 'data_preprocessor', 'train_cfg', 'optim_wrapper', 'param_scheduler', 'default_scope')
    with mock.patch.object(Runner, '_log_env'):  # slow
        return Runner(
            work_dir=str(work_dir),
            train_dataloader=loader,
            default_hooks=dict(config.get('default_hooks', {}), checkpoint=None),
            custom_hooks=[*config.get('custom_hooks', []), Stop()],
            randomness=dict(seed=0),
            experiment_name=f'{Path(work_dir).name}-{next(SERIAL)}',
            **{key: config[key] for key in own},
        )


def loader_of(config, batch_size, **dataset):
    """Build the training dataloader of a config without workers."""
    loader = dict(config.train_dataloader.to_dict(), batch_size=batch_size, num_workers=0)
    loader['dataset'].update(dataset)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Runner.build_dataloader(loader)


def write_imagenet(root):
    """Write two training images and their list in the layout of ImageNet."""
    (root / 'meta').mkdir()
    (root / 'train').mkdir()
    generator = np.random.default_rng(0)
    for n in range(2):
        blots = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(root / 'train' / f'{n}.JPEG'), cv2.resize(blots, (320, 240), interpolation=cv2.INTER_CUBIC))
    (root / 'meta' / 'train.txt').write_text('0.JPEG 7\n1.JPEG 931\n')


def train(config, loader, work_dir):
    """Train one epoch with the last augment only, check losses and logged weights, and return the runner."""
    mixing = config.model.get('train_cfg') or {}
    if mixing:
        mixing.probs = [0.0] * (len(mixing.augments) - 1) + [1.0]
    runner = runner_of(config, loader, work_dir)
    runner.train()
    (stop,) = (hook for hook in runner.hooks if isinstance(hook, Stop))
    assert len(stop.losses) == len(loader)
    assert all(math.isfinite(loss) and loss > 0 for loss in stop.losses)
    labelings = [hook.get('labeling', 'PAL') for hook in config.get('custom_hooks', []) if 'LabelingHook' in hook.type]
    wanted = (
        {'lam_area'} if labelings == ['AreaLabeling'] else {'factor', 'lam_attn', 'lam_area'} if labelings else set()
    )
    scalars = runner.message_hub.log_scalars
    logged = {name for name in ('factor', 'lam_attn', 'lam_area') if f'train/{name}' in scalars}
    assert logged == wanted
    assert all(0 <= scalars[f'train/{name}'].current() <= 1 for name in logged)
    return runner
