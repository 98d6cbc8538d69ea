"""A compiled forward pass gives the losses of the eager one, with the hook and without, and is compiled once."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch._dynamo
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader, Dataset

from mixpro_mm.labeling.hook import LabelingHook
from mixpro_mm.labeling.rules import build_labeling

CLASSES = 5
STEPS = 8
BACKBONES = dict(
    vit=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
        img_size=32,
        patch_size=8,
    ),
    pvt=dict(
        type='mixpro_mm.PVT',
        arch=dict(
            embed_dims=(8, 8, 16, 32),
            num_heads=(1, 1, 2, 2),
            mlp_ratios=(1, 1, 1, 1),
            depths=(1, 1, 1, 2),
            sr_ratios=(4, 2, 1, 1),
        ),
        img_size=64,
    ),
)


def losses(backbone, labeling, compiled):
    """Loss of each step, on batches that MaskMix, Mixup or nobody mixed, and the graphs so far."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002, the host draws the augment with it
    head = dict(type='VisionTransformerClsHead' if backbone == 'vit' else 'LinearClsHead', in_channels=32)
    loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=CLASSES, mode='original')
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=BACKBONES[backbone],
            head=dict(num_classes=CLASSES, loss=loss, **head),
            data_preprocessor=dict(num_classes=CLASSES, to_rgb=False),
            train_cfg=dict(
                augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MaskMix', patch_size=16, mask_scale=1)],
                probs=[0.3, 0.5],
            ),
        )
    ).train()
    torch._dynamo.reset()
    counters.clear()
    if compiled:
        model.forward = torch.compile(model.forward, backend='aot_eager')
    hooks = [LabelingHook(labeling=labeling)] if labeling else []
    runner = SimpleNamespace(
        model=model, hooks=hooks, iter=0, epoch=0, max_epochs=1, max_iters=STEPS, train_loop=None,
        message_hub=MessageHub.get_instance('compile'),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for hook in hooks:
        hook.before_run(runner)
        hook.before_train(runner)
        hook.before_train_epoch(runner)
    values, graphs = [], []
    size = BACKBONES[backbone]['img_size']
    for step in range(STEPS):
        samples = [DataSample().set_gt_label(b % CLASSES) for b in range(6)]
        for hook in hooks:
            hook.before_train_iter(runner, step)
        data = model.data_preprocessor(dict(inputs=255 * torch.rand(6, 3, size, size), data_samples=samples), True)
        value = model(**data, mode='loss')['loss']
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        for hook in hooks:
            hook.after_train_iter(runner, step)
        values.append(value.item())
        graphs.append(counters['stats']['unique_graphs'])
    for hook in hooks:
        hook.after_train(runner)
    return values, graphs


@pytest.fixture(autouse=True)
def dynamo_as_it_was():
    guards = torch._dynamo.config.skip_nnmodule_hook_guards
    yield
    torch._dynamo.config.skip_nnmodule_hook_guards = guards
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('backbone', 'labeling'),
    [('vit', None), ('vit', 'ProgressiveAttentionLabeling'), ('pvt', 'ProgressiveAttentionLabeling')],
)
def test_a_compiled_model_trains_as_the_eager_one_and_is_compiled_once(backbone, labeling):
    eager, none = losses(backbone, labeling, compiled=False)
    compiled, graphs = losses(backbone, labeling, compiled=True)
    assert compiled == pytest.approx(eager, abs=1e-5)
    assert none[-1] == 0
    assert graphs[2] > 0
    assert graphs[-1] == graphs[2]


class Losses(Hook):
    def __init__(self):
        self.values = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.values.append(outputs['loss'].item())


class Images(Dataset):
    def __init__(self):
        self.images = 255 * torch.rand(6 * STEPS, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return dict(inputs=self.images[index].clone(), data_samples=DataSample().set_gt_label(index % CLASSES))


def run(augment, labeling, compiled, work_dir):
    """Losses and logged label weights of a Runner."""
    torch._dynamo.reset()
    torch.manual_seed(0)
    loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=CLASSES, mode='original')
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=BACKBONES['vit'],
            head=dict(type='VisionTransformerClsHead', num_classes=CLASSES, in_channels=32, loss=loss),
            data_preprocessor=dict(num_classes=CLASSES, mean=[127] * 3, std=[60] * 3),
            train_cfg=dict(augments=[augment], probs=[0.7]),
        )
    )
    watch, weights = Losses(), []

    class Keep(build_labeling(labeling).__class__):
        def __call__(self, *args):
            weights.append(super().__call__(*args))
            return weights[-1]

    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=DataLoader(Images(), 6, collate_fn=pseudo_collate),
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        custom_hooks=[LabelingHook(Keep()), watch],
        default_hooks=dict(checkpoint=None),
        randomness=dict(seed=0),
        default_scope='mmpretrain',
        experiment_name=f'compile-{compiled}-{work_dir.name}',
        cfg=dict(compile=True) if compiled else {},
    )
    runner.train()
    return watch.values, [w.lam_area if w.lam is None else w.lam for w in weights]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('augment', 'labeling'),
    [
        (dict(type='mixpro_mm.MixPro', patch_size=8, mask_scale=1), 'ProgressiveAttentionLabeling'),
        (dict(type='mixpro_mm.RegionMix', partner='permutation'), 'AttentionLabeling'),
        (dict(type='mixpro_mm.SMMix', patch_size=8), 'ProgressiveAttentionLabeling'),
        (dict(type='mixpro_mm.PuzzleMix'), 'AreaLabeling'),
    ],
)
def test_runner_compiles_the_step_by_inductor_and_trains_as_without(augment, labeling, tmp_path):
    eager, weights = run(augment, labeling, False, tmp_path / 'eager')
    compiled, others = run(augment, labeling, True, tmp_path / 'compiled')
    assert compiled == pytest.approx(eager, abs=1e-4)
    assert len(weights) == len(others) > 1
    torch.testing.assert_close(torch.cat(others), torch.cat(weights), rtol=0, atol=1e-4)
