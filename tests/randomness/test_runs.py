"""Resumed runs with other workers, validation, hooks and settings."""

import pytest
import torch
from mmengine.hooks import Hook

from mixpro_mm.hooks.labeling import LabelingHook
from tests.randomness import kit
from tests.randomness.kit import LABELS, MIXING, MIXPRO, USUAL

LOOPS = pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
SAMPLER = {True: 'DefaultSampler', False: 'InfiniteSampler'}


def twice(folder, **settings):
    """Return the differences between a resumed and an uninterrupted run, and the end of the latter."""
    straight = kit.train(folder / 'straight', **settings)
    resumed = kit.train(folder / 'resumed', start=kit.half(folder / 'straight'), **settings)
    return kit.differences(straight, resumed), straight


def test_without_the_hook_a_resumed_run_is_another_one(tmp_path):
    found, straight = twice(tmp_path, hooks=[LABELS], **MIXING)
    weights = [path for path in found if path.startswith('/state_dict/')]
    assert len(weights) > len(straight['state_dict']) / 2 and '/losses/3' in found


@LOOPS
def test_workers_do_not_change_the_run(by_epoch, tmp_path):
    """With no workers, two workers and three persistent workers; each run is also resumed."""
    ends = []
    for workers, persistent in [(0, False), (3, True), *[(2, False)] * by_epoch]:
        data = kit.loader(workers, SAMPLER[by_epoch], persistent_workers=persistent)
        found, straight = twice(tmp_path / f'{workers}{persistent}', by_epoch=by_epoch, data=data, **USUAL)
        assert found == []
        ends.append(straight)
    assert [kit.differences(ends[0], end) for end in ends] == [[]] * len(ends)


@LOOPS
def test_validation_shifts_nothing(by_epoch, tmp_path):
    """Validation draws random numbers."""
    quiet = kit.train(tmp_path / 'quiet', by_epoch=by_epoch, **USUAL)
    found, often = twice(tmp_path, by_epoch=by_epoch, validation=1, **USUAL)
    assert found == kit.differences(quiet, often) == []


@LOOPS
def test_what_other_hooks_draw_shifts_nothing(by_epoch, tmp_path):
    class DrawingHook(Hook):
        """Draw before and after the seeding of an iteration."""

        def __init__(self, every):
            self.every = every

        def before_train_epoch(self, runner):
            kit.disturb(runner.iter)

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter % self.every == 0:
                kit.disturb(runner.iter)

    hooks = [*USUAL['hooks'], dict(type=DrawingHook, every=2)]
    found, drawing = twice(tmp_path, by_epoch=by_epoch, **MIXING, hooks=hooks)
    assert found == kit.differences(drawing, kit.train(tmp_path / 'quiet', by_epoch=by_epoch, **USUAL)) == []


SETTINGS = {
    'gradient accumulation': dict(
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9), accumulative_counts=3)
    ),
    'clipping': dict(optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.05), clip_grad=dict(max_norm=0.1))),
    'a learned factor': dict(
        loss=dict(type='mixpro_mm.LearnableFactor', loss=kit.LOSS, init=0.3),
        hooks=[
            dict(type=LabelingHook, labeling=dict(type='ProgressiveAttentionLabeling', factor='learnable')),
            kit.HOOK,
        ],
    ),
    'a factor of progress': dict(
        hooks=[dict(type=LabelingHook, labeling=dict(type='ProgressiveAttentionLabeling', factor='linear')), kit.HOOK]
    ),
    'a local loss': dict(
        loss=dict(type='mixpro_mm.LocalContextLoss', loss=kit.LOSS, in_channels=16, num_classes=kit.CLASSES, grid=2)
    ),
    'another recipe from the second epoch on': dict(
        hooks=[
            dict(
                type='SwitchRecipeHook',
                schedule=[dict(action_epoch=2, batch_augments=dict(augments=[dict(type='CutMix', alpha=1.0), MIXPRO]))],
            ),
            LABELS,
            kit.HOOK,
        ]
    ),
    'a convolutional network': dict(
        model=kit.CNN,
        augments=[dict(type='mixpro_mm.MaskMix', patch_size=8, mask_scale=1)],
        probs=None,
        hooks=[kit.HOOK],
    ),
    'ranks that are to differ': dict(randomness=dict(seed=3, diff_rank_seed=True)),
    'no seed': dict(randomness=dict(seed=None)),
}


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=() if 'factor' in name else pytest.mark.long) for name in SETTINGS]
)
def test_a_resumed_run_is_exact_with(name, tmp_path):
    found, straight = twice(tmp_path, **(USUAL | SETTINGS[name]))
    assert found == []
    assert not all(torch.equal(straight['state_dict'][key], value) for key, value in initial(tmp_path).items())


def initial(folder):
    """Return the weights in the middle of the run."""
    return torch.load(kit.half(folder / 'straight'), weights_only=False)['state_dict']
