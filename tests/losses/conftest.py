"""Micro classifiers and short trainings for the tests of this folder."""

import itertools
import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader, Dataset

from mixpro_mm.augments import MixPro

CLASSES = 5
STOCK = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=CLASSES, mode='original')
PVT_ARCH = dict(
    embed_dims=(8, 16, 16, 32),
    num_heads=(1, 1, 2, 4),
    mlp_ratios=(2, 2, 2, 2),
    depths=(1, 1, 1, 1),
    sr_ratios=(4, 2, 1, 1),
)
SERIAL = itertools.count()


def vit(loss, **kwargs):
    arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
    return dict(
        type='ImageClassifier',
        backbone=dict(type='VisionTransformer', arch=arch, img_size=32, patch_size=8, **kwargs),
        head=dict(type='VisionTransformerClsHead', num_classes=CLASSES, in_channels=32, loss=loss),
    )


def timm_vit(loss, **kwargs):
    arch = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=CLASSES)
    return dict(type='TimmClassifier', model_name='vit_tiny_patch16_224', loss=loss, **arch, **kwargs)


def pvt(loss, **kwargs):
    return dict(
        type='ImageClassifier',
        backbone=dict(type='mixpro_mm.PVT', arch=PVT_ARCH, img_size=128, **kwargs),
        head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=32, loss=loss),
    )


def classifier(loss=STOCK, augments=None, probs=None, build=vit, **kwargs):
    """Always the same, every parameter moved so that attention and logits are not uniform."""
    torch.manual_seed(0)
    train_cfg = None if augments is None else dict(augments=augments, probs=probs)
    preprocessor = dict(num_classes=CLASSES)
    model = MODELS.build(deepcopy(build(loss, **kwargs)) | dict(data_preprocessor=preprocessor, train_cfg=train_cfg))
    model.init_weights()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'raw_factor' not in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


def mixpro(**kwargs):
    """About half of each image stays, and partners in a batch of four have other labels."""
    return MixPro(**{'alpha': 20.0, 'partner': 'flip', 'patch_size': 8, 'mask_scale': 1, **kwargs})


class Samples(Dataset):
    """Random images, labelled in turn; samples are made anew on every access, for the host writes into them."""

    def __init__(self, count, size):
        self.images = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(9))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return dict(inputs=self.images[index].clone(), data_samples=DataSample().set_gt_label(index % CLASSES))


class KeepGradients(OptimWrapper):
    """Keeps what every step was taken with, by name."""

    def __init__(self, optimizer, model):
        super().__init__(optimizer)
        self.model, self.steps = model, []

    def step(self, **kwargs):
        self.steps.append({name: p.grad if p.grad is None else p.grad.clone() for name, p in self.named()})
        super().step(**kwargs)

    def named(self):
        return self.model.named_parameters()


def make_runner(model, work_dir, *hooks, batches=2, size=(32, 32), epochs=1, optimizer=None, wrapper=None, **settings):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.05)
    return Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=DataLoader(Samples(4 * batches, size), 4, collate_fn=pseudo_collate),
        optim_wrapper=(wrapper or KeepGradients)(optimizer, model),
        custom_hooks=list(hooks),
        **{
            'train_cfg': dict(by_epoch=True, max_epochs=epochs),
            'default_hooks': dict(logger=dict(type='LoggerHook', interval=1), checkpoint=None),
            'randomness': dict(seed=3),
            'default_scope': 'mmpretrain',
            'experiment_name': f'losses-{next(SERIAL)}',
            **settings,
        },
    )


def train(*args, **kwargs):
    runner = make_runner(*args, **kwargs)
    runner.train()
    return runner


def scalars(runner):
    (file,) = Path(runner.log_dir).rglob('scalars.json')
    return [json.loads(line) for line in file.read_text().splitlines()]


def count_hooks(model):
    kinds = [name for name in vars(torch.nn.Module()) if name.endswith('_hooks')]
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


@pytest.fixture
def kit():
    """All of the above."""
    return SimpleNamespace(**globals())
