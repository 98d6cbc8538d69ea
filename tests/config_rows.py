"""What tests of configs share: a file read, its header; for ImageNet-1k also its mixing and a run over few images."""

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
LOSS = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
SERIAL = itertools.count()


def ours(name, **settings):
    return dict(type=f'mixpro_mm.{name}', **settings)


BOX, HOST_BOX = ours('RegionMix', alpha=1.0), dict(type='CutMix', alpha=1.0)
MIXPRO = ours('MixPro', alpha=1.0, patch_size=16, mask_scale=4)
AREA, TRANSMIX = 'AreaLabeling', dict(type='AttentionLabeling', downsample='nearest')


def augments_of(method):
    mixup = dict(type='Mixup', alpha=0.8)
    return [mixup] if method is None else [mixup, method]


def hook_of(labeling):
    hook = dict(type='mixpro_mm.LabelingHook')
    return hook if labeling == 'PAL' else dict(hook, labeling=labeling)


FIND = functools.cache(Config._get_cfg_path)  # without it every config reads all metafiles of mmpretrain anew


@functools.cache
def read(path):
    """A config as it resolves; only to be looked at."""
    with mock.patch.object(Config, '_get_cfg_path', FIND):
        return Config.fromfile(path)


def fresh(path):
    """The same, to be changed."""
    return Config(read(path).to_dict())


def header(path):
    return list(itertools.takewhile(lambda line: line.startswith('# '), path.read_text(encoding='utf-8').splitlines()))


class Stop(Hook):
    """Ends training after one epoch, whatever the schedule has in mind, and keeps the losses."""

    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = True


def runner_of(config, loader, work_dir):
    """The Runner of a config over few images, with its own model, optimizer, schedule and hooks."""
    config = Config(config.to_dict())  # a Runner writes into what it is given
    hooks = dict(config.get('default_hooks', {}), checkpoint=None)
    return Runner(
        model=config.model,
        data_preprocessor=config.data_preprocessor,
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=config.train_cfg,
        optim_wrapper=config.optim_wrapper,
        param_scheduler=config.param_scheduler,
        default_hooks=hooks,
        custom_hooks=[*config.get('custom_hooks', []), Stop()],
        default_scope=config.default_scope,
        randomness=dict(seed=0),
        experiment_name=f'{Path(work_dir).name}-{next(SERIAL)}',
    )


def loader_of(config, batch_size, **dataset):
    """The training images and transforms of a config, in this process."""
    loader = dict(config.train_dataloader.to_dict(), batch_size=batch_size, num_workers=0)
    loader['dataset'].update(dataset)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Runner.build_dataloader(loader)


def write_imagenet(root):
    """Two training images with a list that labels them, in the layout of ImageNet."""
    (root / 'meta').mkdir()
    (root / 'train').mkdir()
    generator = np.random.default_rng(0)
    for n in range(2):
        blots = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(root / 'train' / f'{n}.JPEG'), cv2.resize(blots, (320, 240), interpolation=cv2.INTER_CUBIC))
    (root / 'meta' / 'train.txt').write_text('0.JPEG 7\n1.JPEG 931\n')


def only_its_own(config):
    """Mixup never; the last method of the list, always."""
    mixing = config.model.train_cfg
    mixing.probs = [0.0] * (len(mixing.augments) - 1) + [1.0]
    return config


def train(config, loader, work_dir, labeling):
    """Train one epoch and check what every config must show; returns the runner."""
    runner = runner_of(config, loader, work_dir)
    runner.train()
    (stop,) = (hook for hook in runner.hooks if isinstance(hook, Stop))
    assert len(stop.losses) == len(loader)
    assert all(math.isfinite(loss) and loss > 0 for loss in stop.losses)
    scalars = runner.message_hub.log_scalars
    logged = {name for name in ('factor', 'lam_attn', 'lam_area') if f'train/{name}' in scalars}
    wanted = {None: set(), AREA: {'lam_area'}}.get(labeling if isinstance(labeling, str | None) else 'PAL')
    assert logged == ({'factor', 'lam_attn', 'lam_area'} if wanted is None else wanted)
    assert all(0 <= scalars[f'train/{name}'].current() <= 1 for name in logged)
    return runner
