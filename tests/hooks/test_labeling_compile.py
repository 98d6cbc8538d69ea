"""A compiled model gives the losses of the eager model and is compiled once."""

import pytest
import torch
import torch._dynamo
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch._dynamo.utils import counters
from torch.utils.data import DataLoader

from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.labeling.rules import build_labeling

CLASSES, BATCH, STEPS = 5, 6, 8
VIT = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
PVT = dict(embed_dims=(8, 8, 16, 32), num_heads=(1, 1, 2, 2), mlp_ratios=(1,) * 4, depths=(1, 1, 1, 2))
BACKBONES = dict(
    vit=dict(type='VisionTransformer', arch=VIT, img_size=32, patch_size=8),
    pvt=dict(type='mixpro_mm.PVT', arch=dict(PVT, sr_ratios=(4, 2, 1, 1)), img_size=64),
)
TURNS = [dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MaskMix', patch_size=16, mask_scale=1)]
PAL = 'ProgressiveAttentionLabeling'


@pytest.fixture(autouse=True)
def dynamo_as_it_was():
    guards = torch._dynamo.config.skip_nnmodule_hook_guards
    yield
    torch._dynamo.config.skip_nnmodule_hook_guards = guards
    torch._dynamo.reset()


class Watch(Hook):
    """Record the loss and the number of graphs at each step."""

    def __init__(self):
        self.losses, self.graphs = [], []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())
        self.graphs.append(counters['stats']['unique_graphs'])


def run(backbone, augments, probs, labeling, backend, work_dir):
    """Return losses, numbers of graphs and label weights of a training."""
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    config = BACKBONES[backbone]
    head = 'VisionTransformerClsHead' if backbone == 'vit' else 'LinearClsHead'
    loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=CLASSES, mode='original')
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=config,
            head=dict(type=head, num_classes=CLASSES, in_channels=32, loss=loss),
            data_preprocessor=dict(num_classes=CLASSES, mean=[127] * 3, std=[60] * 3),
            train_cfg=dict(augments=augments, probs=probs),
        )
    )
    watch, weights, hooks = Watch(), [], []
    if labeling:

        class Keep(build_labeling(labeling).__class__):
            def __call__(self, *args):
                weights.append(super().__call__(*args))
                return weights[-1]

        hooks = [LabelingHook(Keep())]
    size = (BATCH * STEPS, 3, config['img_size'], config['img_size'])
    images = 255 * torch.rand(size, generator=torch.Generator().manual_seed(0))
    samples = [dict(inputs=x, data_samples=DataSample().set_gt_label(i % CLASSES)) for i, x in enumerate(images)]
    Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=DataLoader(samples, BATCH, collate_fn=pseudo_collate),
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        custom_hooks=[*hooks, watch],
        default_hooks=dict(checkpoint=None),
        randomness=dict(seed=25),  # draws no augment, MaskMix and Mixup for the first three batches
        default_scope='mmpretrain',
        experiment_name=f'compile-{backend}-{work_dir.name}',
        cfg=dict(compile=dict(backend=backend)) if backend else {},
    ).train()
    return watch.losses, watch.graphs, [w.lam_area if w.lam is None else w.lam for w in weights]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('backbone', 'labeling'),
    [('vit', PAL), *(pytest.param(*case, marks=pytest.mark.long) for case in (('vit', None), ('pvt', PAL)))],
)
def test_a_compiled_model_trains_as_the_eager_one_and_is_compiled_once(backbone, labeling, tmp_path):
    eager, none, weights = run(backbone, TURNS, [0.3, 0.5], labeling, None, tmp_path / 'eager')
    compiled, graphs, others = run(backbone, TURNS, [0.3, 0.5], labeling, 'aot_eager', tmp_path / 'compiled')
    assert compiled == pytest.approx(eager, abs=1e-5)
    assert none[-1] == 0 < graphs[2]
    assert graphs[-1] <= graphs[2] + 1  # no further recompilation
    if labeling:
        assert 1 < len(weights) < STEPS
        torch.testing.assert_close(torch.cat(others), torch.cat(weights), rtol=0, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize(
    ('augment', 'labeling'),
    [
        (dict(type='mixpro_mm.MixPro', patch_size=8, mask_scale=1), PAL),
        (dict(type='mixpro_mm.PuzzleMix'), 'AreaLabeling'),
    ],
)
def test_runner_compiles_the_step_by_inductor_and_trains_as_without(augment, labeling, tmp_path):
    eager, _, weights = run('vit', [augment], [0.7], labeling, None, tmp_path / 'eager')
    compiled, _, others = run('vit', [augment], [0.7], labeling, 'inductor', tmp_path / 'compiled')
    assert compiled == pytest.approx(eager, abs=1e-4)
    assert len(weights) == len(others) > 1
    torch.testing.assert_close(torch.cat(others), torch.cat(weights), rtol=0, atol=1e-4)
