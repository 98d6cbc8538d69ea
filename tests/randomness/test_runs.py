"""Whole runs: who fetches the batches, what happens in between, and what happens without the hook."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from mixpro_mm.hooks.labeling import LabelingHook
from tests.randomness import kit
from tests.randomness.kit import LABELS, MIXING, MIXPRO, USUAL

LOOPS = pytest.mark.parametrize('by_epoch', [True, False], ids=['epochs', 'iterations'])
SAMPLER = {True: 'DefaultSampler', False: 'InfiniteSampler'}


def twice(folder, **settings):
    """Where a resumed run differs from one without a stop, and the end of the latter."""
    straight = kit.train(folder / 'straight', **settings)
    resumed = kit.train(folder / 'resumed', start=kit.half(folder / 'straight'), **settings)
    return kit.differences(straight, resumed), straight


@pytest.mark.parametrize(
    ('by_epoch', 'workers'), [(True, 0), *(pytest.param(False, n, marks=pytest.mark.long) for n in (0, 2))]
)
def test_without_the_hook_a_resumed_run_is_another_one(workers, by_epoch, tmp_path):
    data = kit.loader(workers, SAMPLER[by_epoch])
    found, straight = twice(tmp_path, hooks=[LABELS], by_epoch=by_epoch, data=data, **MIXING)
    weights = [path for path in found if path.startswith('/state_dict/')]
    assert len(weights) > len(straight['state_dict']) / 2 and '/losses/3' in found


@LOOPS
def test_it_is_the_same_run_whoever_fetches(by_epoch, tmp_path):
    """In this process, by two workers, by three that persist from epoch to epoch; and each of these goes on."""
    ends = []
    for workers, persistent in [(0, False), (3, True), *[(2, False)] * by_epoch]:
        data = kit.loader(workers, SAMPLER[by_epoch], persistent_workers=persistent)
        found, straight = twice(tmp_path / f'{workers}{persistent}', by_epoch=by_epoch, data=data, **USUAL)
        assert found == []
        ends.append(straight)
    assert [kit.differences(ends[0], end) for end in ends] == [[]] * len(ends)


@pytest.mark.long
def test_workers_that_persist_know_where_the_next_epoch_begins(tmp_path):
    """Two workers and five batches: the one that fetched the last batch of an epoch does not fetch the next one."""
    ends = []
    for workers in (0, 2):
        data = kit.loader(workers, dataset=kit.Noisy(5 * kit.BATCH), persistent_workers=workers > 0)
        found, straight = twice(tmp_path / str(workers), data=data, **USUAL)
        assert found == []
        ends.append(straight)
    assert kit.differences(*ends) == []


def test_a_finite_sampler_in_a_loop_of_iterations(tmp_path):
    """The host winds it forward in this process; the second round over the data comes after the resume."""
    data = kit.loader(dataset=kit.Noisy(4 * kit.BATCH))
    assert twice(tmp_path, by_epoch=False, data=data, **USUAL)[0] == []


@LOOPS
def test_validation_shifts_nothing(by_epoch, tmp_path):
    """It reads noise, and with it the generators."""
    quiet = kit.train(tmp_path / 'quiet', by_epoch=by_epoch, **USUAL)
    found, often = twice(tmp_path, by_epoch=by_epoch, validation=1, **USUAL)
    assert found == kit.differences(quiet, often) == []


@LOOPS
def test_what_other_hooks_draw_shifts_nothing(by_epoch, tmp_path):
    class DrawingHook(Hook):
        """Draws here and there, before and after the seeds of an iteration."""

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
def test_goes_on_bit_by_bit_with(name, tmp_path):
    found, straight = twice(tmp_path, **(USUAL | SETTINGS[name]))
    assert found == []
    assert not all(torch.equal(straight['state_dict'][key], value) for key, value in initial(tmp_path).items())


def initial(folder):
    """Weights in the middle of the run, so that something is known to have moved after it."""
    return torch.load(kit.half(folder / 'straight'), weights_only=False)['state_dict']


@pytest.mark.long
def test_a_run_in_another_process_goes_on_too(tmp_path):
    straight = kit.train(tmp_path / 'straight', **USUAL)
    code = (
        'import sys; from pathlib import Path; import kit; kit.torch.set_num_threads(1)\n'
        'kit.train(Path(sys.argv[1]), start=sys.argv[2], **kit.USUAL)'
    )
    command = [sys.executable, '-c', code, str(tmp_path / 'resumed'), str(kit.half(tmp_path / 'straight'))]
    subprocess.run(command, cwd=Path(kit.__file__).parent, check=True)
    assert kit.differences(straight, kit.last_of(tmp_path / 'resumed')) == []
