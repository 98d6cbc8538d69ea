"""Small classifiers and short trainings for tests of labels, losses and ranks."""

import itertools
import json
from copy import deepcopy
from pathlib import Path

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
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
PVT_ARCH = dict(embed_dims=(8, 16, 16, 32), num_heads=(1, 1, 2, 4), mlp_ratios=(2,) * 4, sr_ratios=(4, 2, 1, 1))
SERIAL = itertools.count()


def image_classifier(backbone, head, loss):
    head = dict(type=head, num_classes=CLASSES, in_channels=32, loss=loss)
    return dict(type='ImageClassifier', backbone=backbone, head=head)


def vit(loss=STOCK, img_size=32, **kwargs):
    backbone = dict(type='VisionTransformer', arch=ARCH, img_size=img_size, patch_size=8, **kwargs)
    return image_classifier(backbone, 'VisionTransformerClsHead', loss)


def pvt(loss=STOCK, img_size=128, depths=(1, 1, 1, 1), **kwargs):
    backbone = dict(type='mixpro_mm.PVT', arch=dict(PVT_ARCH, depths=depths), img_size=img_size, **kwargs)
    return image_classifier(backbone, 'LinearClsHead', loss)


def timm_vit(loss=STOCK, img_size=32, **kwargs):
    arch = dict(img_size=img_size, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=CLASSES)
    return dict(type='TimmClassifier', model_name='vit_tiny_patch16_224', loss=loss, **arch, **kwargs)


def lively(config, train_cfg=None):
    """Build a deterministic model with noise on every parameter, so that attention and logits are not uniform."""
    torch.manual_seed(0)
    model = MODELS.build(deepcopy(config) | dict(data_preprocessor=dict(num_classes=CLASSES), train_cfg=train_cfg))
    model.init_weights()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if 'raw_factor' not in name:
                parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


def classifier(loss=STOCK, augments=None, probs=None, build=vit, **kwargs):
    return lively(build(loss, **kwargs), None if augments is None else dict(augments=augments, probs=probs))


def mixpro(method=MixPro, **kwargs):
    """Build a method that keeps about half of each image and has partners with other labels."""
    return method(**{'alpha': 20.0, 'partner': 'flip', 'patch_size': 8, 'mask_scale': 1, **kwargs})


class Samples(Dataset):
    """Random images with cyclic labels; samples are copies, because mmpretrain modifies them."""

    def __init__(self, count, size=(32, 32), seed=9):
        self.images = torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return dict(inputs=self.images[index].clone(), data_samples=DataSample().set_gt_label(index % CLASSES))


class KeepGradients(OptimWrapper):
    """Store the gradients of every step by name."""

    def __init__(self, optimizer, model, **kwargs):
        super().__init__(optimizer, **kwargs)
        self.named, self.steps = model.named_parameters, []

    def step(self, **kwargs):
        self.steps.append({name: p.grad if p.grad is None else p.grad.clone() for name, p in self.named()})
        super().step(**kwargs)


class HalfPrecision(KeepGradients):  # AmpOptimWrapper for the CPU
    def optim_context(self, model):
        return torch.autocast('cpu', dtype=torch.bfloat16)


class KeepBatches:
    """Store the inputs of the model and of the loss module in training."""

    def __init__(self, model):
        self.inputs, self.targets, self.logits, self.losses = [], [], [], []
        model.register_forward_pre_hook(self.on_model, with_kwargs=True)
        (model.head if hasattr(model, 'head') else model).loss_module.register_forward_hook(self.on_loss)

    def on_model(self, module, args, kwargs):
        if kwargs.get('mode') == 'loss':  # not the probe before the first step
            self.inputs.append(kwargs['inputs'].clone())

    def on_loss(self, module, args, output):
        self.logits.append(args[0].detach())
        self.targets.append(args[1].detach().clone())
        self.losses.append(output.item())


def make_runner(model, work_dir, *hooks, batches=2, size=(32, 32), data=None, batch_size=4, epochs=1, interval=1,
                optimizer=None, wrapper=None, **settings):  # fmt: skip
    return Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=DataLoader(data or Samples(batch_size * batches, size), batch_size, collate_fn=pseudo_collate),
        optim_wrapper=(wrapper or KeepGradients)(optimizer or torch.optim.SGD(model.parameters(), lr=0.05), model),
        custom_hooks=list(hooks),
        **{
            'train_cfg': dict(by_epoch=True, max_epochs=epochs),
            'default_hooks': dict(logger=dict(type='LoggerHook', interval=interval), checkpoint=None),
            'randomness': dict(seed=3),
            'default_scope': 'mmpretrain',
            'experiment_name': f'micro-{next(SERIAL)}',
            **settings,
        },
    )


def train(*args, **kwargs):
    runner = make_runner(*args, **kwargs)
    runner.train()
    return runner


def scalars(runner):
    """Return the logged lines of a run."""
    (file,) = Path(runner.log_dir).rglob('scalars.json')
    return [json.loads(line) for line in file.read_text().splitlines()]


def count_hooks(model):
    """Count the PyTorch hooks of all modules."""
    return sum(len(hooks) for part in model.modules() for kind, hooks in vars(part).items() if kind.endswith('_hooks'))


def train_on_a_rank(rank, folder, train_cfg, labeling, batches, loss=STOCK, prepare=None, optimizer=torch.optim.SGD,
                    wrapper=KeepGradients):  # fmt: skip
    """Train a classifier on rank ``rank`` of two, and write ``FOLDER/rankN.pth``.

    It has ``inputs``, ``targets``, ``gradients`` after reduction, ``parameters``, ``hooks left``, the entries of
    ``prepare(model)``, and ``alone``, the gradients of the first batch on one rank with constant targets.
    """
    from mmengine.model import MMDistributedDataParallel

    from mixpro_mm.hooks.labeling import LabelingHook

    torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=int(rank), world_size=2)
    model = lively(vit(loss), train_cfg)
    twin, kept = deepcopy(model), KeepBatches(model)
    more, before = prepare(model) if prepare else {}, count_hooks(model)
    runner = train(
        MMDistributedDataParallel(model),  # fails in step 2 if a parameter is unused
        f'{folder}/work',
        LabelingHook(labeling),
        data=Samples(4 * batches, seed=int(rank)),
        optimizer=optimizer(model.parameters(), lr=0.05),
        wrapper=lambda optimizer, _: wrapper(optimizer, model),
        randomness=dict(seed=3, diff_rank_seed=True),
    )
    seen = dict(more, inputs=kept.inputs, targets=kept.targets, gradients=runner.optim_wrapper.steps)
    seen |= {'hooks left': count_hooks(model) - before, 'parameters': dict(model.named_parameters())}
    if loss is STOCK:
        value = twin.head.loss_module(twin(kept.inputs[0], mode='tensor'), kept.targets[0])
        names, parameters = zip(*twin.named_parameters(), strict=True)
        seen['alone'] = dict(zip(names, torch.autograd.grad(value, parameters), strict=True))
    torch.save(seen, f'{folder}/rank{rank}.pth')
    torch.distributed.destroy_process_group()


def check_that_ranks_agree(first, second):
    """Check that ranks are equal, and that the first gradients are the mean of those of single ranks."""
    for a, b in zip(*([*seen['gradients'], seen['parameters']] for seen in (first, second)), strict=True):
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    for name, alone in first.get('alone', {}).items():
        mean = (alone + second['alone'][name]) / 2
        torch.testing.assert_close(first['gradients'][0][name], mean, rtol=1e-4, atol=1e-6)
