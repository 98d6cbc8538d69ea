"""Micro trainings with random order, transforms, mixing, dropout and drop path."""

import gc
import itertools
import random

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch.utils._pytree import keystr, tree_leaves_with_path
from torch.utils.data import Dataset

from tests.micro import CLASSES, STOCK, vit

SERIAL = itertools.count()
SEED, BATCH, BATCHES = 3, 4, 3
HOOK = dict(type='mixpro_mm.IterSeedHook')
LABELS = dict(type='mixpro_mm.LabelingHook')
MIXPRO = dict(type='mixpro_mm.MixPro', patch_size=8, mask_scale=1)
MIXING = dict(augments=[dict(type='Mixup', alpha=0.8), MIXPRO], probs=[0.25, 0.75])
USUAL = dict(hooks=[LABELS, HOOK], **MIXING)
KEPT = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'iter_seed')
VIT = vit(drop_rate=0.1, drop_path_rate=0.5)
CNN = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=4, base_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=32, loss=STOCK),
)


class Noisy(Dataset):
    """``count`` images with noise of all three generators, drawn on each access."""

    def __init__(self, count=BATCH * BATCHES):
        self.images = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(9))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index].roll(random.randrange(32), 2) + 0.1 * torch.rand(3, 32, 32)
        image = image + 0.1 * torch.from_numpy(np.random.rand(3, 32, 32).astype(np.float32))  # noqa: NPY002
        return dict(inputs=image, data_samples=DataSample().set_gt_label(index % CLASSES))


def disturb(seed=4711):
    """Set the generators to another state."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def loader(workers=0, sampler='DefaultSampler', dataset=None, shuffle=True, **settings):
    return dict(
        batch_size=BATCH,
        num_workers=workers,
        sampler=dict(type=sampler, shuffle=shuffle),
        dataset=dataset or Noisy(),
        collate_fn=dict(type=pseudo_collate),
        **settings,
    )


def runner(folder, hooks=(), augments=(), probs=None, model=VIT, loss=STOCK, data=None, by_epoch=True, validation=None,
           **settings):  # fmt: skip
    """Build a Runner with six iterations, EMAHook and a checkpoint after three.

    ``model`` is a config, with ``augments``, ``probs`` and ``loss``, or a model.
    """
    if isinstance(model, dict):
        train_cfg = dict(augments=list(augments), probs=probs) if augments else None
        model = model | dict(head=model['head'] | dict(loss=loss), train_cfg=train_cfg)
        model['data_preprocessor'] = dict(num_classes=CLASSES)
    loop = dict(by_epoch=True, max_epochs=2) if by_epoch else dict(by_epoch=False, max_iters=2 * BATCHES)
    if validation is not None:
        loop['val_interval'] = validation
        settings |= dict(val_dataloader=loader(shuffle=False), val_cfg=dict(), val_evaluator=dict(type='Accuracy'))
    saver = dict(type='CheckpointHook', by_epoch=by_epoch, interval=1 if by_epoch else BATCHES)
    return Runner(
        model=model,
        work_dir=str(folder),
        train_dataloader=data or loader(sampler='DefaultSampler' if by_epoch else 'InfiniteSampler'),
        train_cfg=loop,
        param_scheduler=dict(type='CosineAnnealingLR', T_max=2 * BATCHES, by_epoch=False),
        custom_hooks=[dict(type='EMAHook', momentum=0.1), *hooks],
        **{
            'optim_wrapper': dict(optimizer=dict(type='AdamW', lr=0.01)),
            'default_hooks': dict(logger=dict(type='LoggerHook', interval=1), checkpoint=saver),
            'randomness': dict(seed=SEED),
            'default_scope': 'mmpretrain',
            'experiment_name': f'randomness-{next(SERIAL)}',
            **settings,
        },
    )


def train(folder, *args, start=None, **kwargs):
    """Train, or resume from the checkpoint ``start`` with disturbed generators; return the last checkpoint."""
    built = runner(folder, *args, **kwargs, resume=start is not None, load_from=start and str(start))
    if start is not None:
        disturb()
    built.train()
    if built.train_dataloader.num_workers:  # stop persistent workers
        built.train_dataloader._iterator = None
        gc.collect()
    return last_of(folder)


def twice(folder, **settings):
    """Return the differences between a resumed and an uninterrupted run, and the end of the latter."""
    straight = train(folder / 'straight', **settings)
    resumed = train(folder / 'resumed', start=half(folder / 'straight'), **settings)
    return differences(straight, resumed), straight


def last_of(folder):
    """Return the parts of the last checkpoint that determine further training, and the losses of all iterations."""
    checkpoint = torch.load((folder / 'last_checkpoint').read_text(), weights_only=False)
    losses = checkpoint['message_hub']['log_scalars']['train/loss']._log_history.tolist()
    return {key: checkpoint[key] for key in KEPT if key in checkpoint} | dict(losses=losses)


def half(folder):
    """Return the checkpoint in the middle of a run."""
    (path,) = [*folder.glob('epoch_1.pth'), *folder.glob(f'iter_{BATCHES}.pth')]
    return path


def differences(one, other):
    """Return the paths at which two nested states differ in any bit."""
    one, other = ({keystr(path): leaf for path, leaf in tree_leaves_with_path(state)} for state in (one, other))
    return [path for path in one.keys() | other.keys() if not equal(one.get(path, ...), other.get(path, ...))]


def equal(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
