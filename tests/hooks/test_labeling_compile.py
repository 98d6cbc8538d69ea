"""A compiled model gives the losses of the eager model and is compiled once."""

import pytest
import torch
import torch._dynamo
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from torch._dynamo.utils import counters

from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.labeling.rules import build_labeling
from tests.micro import classifier, pvt, train, vit

BATCH, STEPS = 6, 8
BACKBONES = dict(vit=dict(build=vit), pvt=dict(build=pvt, img_size=64, depths=(1, 1, 1, 2)))
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
    model = classifier(augments=augments, probs=probs, **BACKBONES[backbone])
    watch, weights, hooks = Watch(), [], []
    if labeling:

        class Keep(build_labeling(labeling).__class__):
            def __call__(self, *args):
                weights.append(super().__call__(*args))
                return weights[-1]

        hooks = [LabelingHook(Keep())]
    train(
        model,
        work_dir,
        *hooks,
        watch,
        batches=STEPS,
        batch_size=BATCH,
        size=(BACKBONES[backbone].get('img_size', 32),) * 2,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        wrapper=lambda optimizer, _: OptimWrapper(optimizer),
        randomness=dict(seed=25),  # draws no augment, MaskMix and Mixup for the first three batches
        cfg=dict(compile=dict(backend=backend)) if backend else {},
    )
    return watch.losses, watch.graphs, [w.lam_area if w.lam is None else w.lam for w in weights]


LONG = pytest.mark.long
MIXPRO = [dict(type='mixpro_mm.MixPro', patch_size=8, mask_scale=1)]
PUZZLE = [dict(type='mixpro_mm.PuzzleMix')]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('backbone', 'augments', 'probs', 'labeling', 'backend'),
    [
        ('vit', TURNS, [0.3, 0.5], PAL, 'aot_eager'),
        pytest.param('vit', TURNS, [0.3, 0.5], None, 'aot_eager', marks=LONG),
        pytest.param('pvt', TURNS, [0.3, 0.5], PAL, 'aot_eager', marks=LONG),
        pytest.param('vit', MIXPRO, [0.7], PAL, 'inductor', marks=LONG),
        pytest.param('vit', PUZZLE, [0.7], 'AreaLabeling', 'inductor', marks=LONG),
    ],
)
def test_a_compiled_model_trains_as_the_eager_one(backbone, augments, probs, labeling, backend, tmp_path):
    eager, none, weights = run(backbone, augments, probs, labeling, None, tmp_path / 'eager')
    compiled, graphs, others = run(backbone, augments, probs, labeling, backend, tmp_path / 'compiled')
    assert compiled == pytest.approx(eager, abs=1e-5 if backend == 'aot_eager' else 1e-4)
    assert none[-1] == 0 < graphs[2]
    assert graphs[-1] <= graphs[2] + 1 or augments is not TURNS  # no further recompilation
    if labeling:
        assert 1 < len(weights) < STEPS or augments is not TURNS
        torch.testing.assert_close(torch.cat(others), torch.cat(weights), rtol=0, atol=1e-4)
