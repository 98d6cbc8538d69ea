"""Resumed runs with other workers, validation, hooks and settings."""

import pytest
import torch
from mmengine.hooks import Hook

from tests.micro import CLASSES, STOCK
from tests.randomness import kit
from tests.randomness.kit import LABELS, MIXING, MIXPRO, USUAL

LOOPS = pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
SAMPLER = {True: 'DefaultSampler', False: 'InfiniteSampler'}


def test_without_the_hook_a_resumed_run_is_another_one(tmp_path):
    found, straight = kit.twice(tmp_path, hooks=[LABELS], **MIXING)
    weights = [path for path in found if path.startswith("['state_dict']")]
    assert len(weights) > len(straight['state_dict']) / 2 and "['losses'][3]" in found


@LOOPS
def test_workers_do_not_change_the_run(by_epoch, tmp_path):
    """With no workers, two workers and three persistent workers; each run is also resumed."""
    ends = []
    for workers, persistent in [(0, False), (3, True), *[(2, False)] * by_epoch]:
        data = kit.loader(workers, SAMPLER[by_epoch], persistent_workers=persistent)
        found, straight = kit.twice(tmp_path / f'{workers}{persistent}', by_epoch=by_epoch, data=data, **USUAL)
        assert found == []
        ends.append(straight)
    assert [kit.differences(ends[0], end) for end in ends] == [[]] * len(ends)


@LOOPS
def test_validation_shifts_nothing(by_epoch, tmp_path):
    """Validation draws random numbers."""
    quiet = kit.train(tmp_path / 'quiet', by_epoch=by_epoch, **USUAL)
    found, often = kit.twice(tmp_path, by_epoch=by_epoch, validation=1, **USUAL)
    assert found == kit.differences(quiet, often) == []


@LOOPS
def test_what_other_hooks_draw_shifts_nothing(by_epoch, tmp_path):
    class DrawingHook(Hook):
        """Draw before and after the seeding of an iteration."""

        def before_train_epoch(self, runner):
            kit.disturb(runner.iter)

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter % 2 == 0:
                kit.disturb(runner.iter)

    hooks = [*USUAL['hooks'], dict(type=DrawingHook)]
    found, drawing = kit.twice(tmp_path, by_epoch=by_epoch, **MIXING, hooks=hooks)
    assert found == kit.differences(drawing, kit.train(tmp_path / 'quiet', by_epoch=by_epoch, **USUAL)) == []


def factor(kind):
    return [dict(LABELS, labeling=dict(type='ProgressiveAttentionLabeling', factor=kind)), kit.HOOK]


CUTMIX = dict(augments=[dict(type='CutMix', alpha=1.0), MIXPRO])
SWITCH = dict(type='SwitchRecipeHook', schedule=[dict(action_epoch=2, batch_augments=CUTMIX)])
LOCAL = dict(type='mixpro_mm.LocalContextLoss', loss=STOCK, in_channels=32, num_classes=CLASSES, grid=2)
SGD = dict(type='SGD', lr=0.05, momentum=0.9)
SETTINGS = {
    'a learned factor': dict(
        loss=dict(type='mixpro_mm.LearnableFactor', loss=STOCK, init=0.3), hooks=factor('learnable')
    ),
    'a factor of progress': dict(hooks=factor('linear')),
    'gradient accumulation': dict(optim_wrapper=dict(optimizer=SGD, accumulative_counts=3)),
    'a local loss': dict(loss=LOCAL),
    'another recipe from the second epoch on': dict(hooks=[SWITCH, LABELS, kit.HOOK]),
    'a convolutional network': dict(
        model=kit.CNN, augments=[dict(MIXPRO, type='mixpro_mm.MaskMix')], probs=None, hooks=[kit.HOOK]
    ),
    'ranks that are to differ': dict(randomness=dict(seed=3, diff_rank_seed=True)),
    'no seed': dict(randomness=dict(seed=None)),
}


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=() if 'factor' in name else pytest.mark.long) for name in SETTINGS]
)
def test_a_resumed_run_is_exact_with(name, tmp_path):
    found, straight = kit.twice(tmp_path, **(USUAL | SETTINGS[name]))
    assert found == []
    middle = torch.load(kit.half(tmp_path / 'straight'), weights_only=False)['state_dict']
    assert kit.differences(straight['state_dict'], middle) != []
