"""Micro trainings with random order, transforms, mixing, dropout and drop path."""

import gc
import itertools
import random

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

SERIAL = itertools.count()
SEED, CLASSES, BATCH, BATCHES = 3, 4, 4, 3
HOOK = dict(type='mixpro_mm.IterSeedHook')
LABELS = dict(type='mixpro_mm.LabelingHook')
MIXPRO = dict(type='mixpro_mm.MixPro', patch_size=8, mask_scale=1)
MIXING = dict(augments=[dict(type='Mixup', alpha=0.8), MIXPRO], probs=[0.25, 0.75])
USUAL = dict(hooks=[LABELS, HOOK], **MIXING)
KEPT = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'iter_seed')
LOSS = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=CLASSES, mode='original')
VIT = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
        img_size=32,
        patch_size=8,
        drop_rate=0.1,
        drop_path_rate=0.5,
    ),
    head=dict(type='VisionTransformerClsHead', num_classes=CLASSES, in_channels=16, loss=LOSS),
)
CNN = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=4, base_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=32, loss=LOSS),
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


def loader(workers=0, sampler='DefaultSampler', dataset=None, **settings):
    return dict(
        batch_size=BATCH,
        num_workers=workers,
        sampler=dict(type=sampler, shuffle=True),
        dataset=dataset or Noisy(),
        collate_fn=dict(type=pseudo_collate),
        **settings,
    )


def runner(
    folder, hooks=(), augments=(), probs=None, model=VIT, loss=None, data=None, by_epoch=True, built=None, **settings
):
    """Build a Runner with six iterations and a checkpoint after three.

    Args:
        folder: Work directory.
        hooks: Beside EMAHook.
        augments, probs: Of ``train_cfg``.
        model: Config; or ``built``, a model.
        loss: In place of that of the head.
        data: Of the training, as of :func:`loader`.
        by_epoch: Which of the two loops.
        **settings: Of the Runner.
    """
    model = {**model, 'data_preprocessor': dict(type='ClsDataPreprocessor', num_classes=CLASSES)}
    model['head'] = {**model['head'], 'loss': loss or LOSS}
    if augments:
        model['train_cfg'] = dict(augments=list(augments), probs=probs)
    loop = dict(by_epoch=True, max_epochs=2) if by_epoch else dict(by_epoch=False, max_iters=2 * BATCHES)
    validation = settings.pop('validation', None)
    if validation is not None:
        loop['val_interval'] = validation
        held_out = loader() | dict(sampler=dict(type='DefaultSampler', shuffle=False))
        settings |= dict(val_dataloader=held_out, val_cfg=dict(), val_evaluator=dict(type='Accuracy'))
    data = data or loader(sampler='DefaultSampler' if by_epoch else 'InfiniteSampler')
    saver = dict(type='CheckpointHook', by_epoch=by_epoch, interval=1 if by_epoch else BATCHES)
    return Runner(
        model=built or model,
        work_dir=str(folder),
        train_dataloader=data,
        train_cfg=loop,
        optim_wrapper=settings.pop('optim_wrapper', None) or dict(optimizer=dict(type='AdamW', lr=0.01)),
        param_scheduler=dict(type='CosineAnnealingLR', T_max=2 * BATCHES, by_epoch=False),
        custom_hooks=[dict(type='EMAHook', momentum=0.1), *hooks],
        **{
            'default_hooks': dict(logger=dict(type='LoggerHook', interval=1), checkpoint=saver),
            'randomness': dict(seed=SEED),
            'default_scope': 'mmpretrain',
            'experiment_name': f'randomness-{next(SERIAL)}',
            **settings,
        },
    )


def train(folder, *args, start=None, **kwargs):
    """Train, or resume from a checkpoint with disturbed generators; return the last checkpoint.

    Args:
        folder: Work directory.
        start: A checkpoint to resume.
        *args, **kwargs: As of :func:`runner`.
    """
    if start is not None:
        kwargs |= dict(resume=True, load_from=str(start))
    built = runner(folder, *args, **kwargs)
    if start is not None:
        disturb()
    built.train()
    if built.train_dataloader.num_workers:  # stop persistent workers
        built.train_dataloader._iterator = None
        gc.collect()
    return last_of(folder)


def last_of(folder):
    """Return the parts of the last checkpoint that determine further training."""
    path = (folder / 'last_checkpoint').read_text()
    checkpoint = torch.load(path, weights_only=False)
    return {key: checkpoint[key] for key in KEPT if key in checkpoint} | dict(losses=losses_of(checkpoint))


def losses_of(checkpoint):
    """Return the losses of all iterations."""
    return checkpoint['message_hub']['log_scalars']['train/loss']._log_history.tolist()


def half(folder):
    """Return the checkpoint in the middle of a run."""
    (path,) = [*folder.glob('epoch_1.pth'), *folder.glob(f'iter_{BATCHES}.pth')]
    return path


def differences(one, other, path=''):
    """Return the paths at which two nested states differ in any bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = [path] * (one.keys() != other.keys())
        return found + [
            d for key in one.keys() & other.keys() for d in differences(one[key], other[key], f'{path}/{key}')
        ]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        found = [path] * (len(one) != len(other))
        return found + [
            d for n, pair in enumerate(zip(one, other, strict=False)) for d in differences(*pair, f'{path}/{n}')
        ]
    if isinstance(one, torch.Tensor):
        return [path] * (one.dtype != other.dtype or not torch.equal(one, other))
    return [path] * (one != other)
