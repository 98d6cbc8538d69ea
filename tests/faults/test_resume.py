"""A run resumed with other settings names the differences and writes nothing."""

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mixpro_mm.utils.diff_configs import diff_configs, settings_in


@pytest.fixture
def cut(tmp_path, undisturbed):
    """Return the work dir of a run interrupted after two epochs."""
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    (work_dir / 'epoch_2.pth').write_bytes((undisturbed / 'epoch_2.pth').read_bytes())
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_2.pth'))
    return work_dir


CHANGES = {
    'model.backbone.patch_size': (8, 'model.backbone.patch_size was 4 and is 8'),
    'randomness.seed': (4, 'randomness.seed was 3 and is 4'),
    'optim_wrapper.optimizer.lr': (0.1, 'optim_wrapper.optimizer.lr was 0.002 and is 0.1'),
    'model.train_cfg.augments': (
        [dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', patch_size=4, mask_scale=4)],
        'model.train_cfg.augments[1].mask_scale was 2 and is 4',
    ),
    'custom_hooks': (
        [dict(type='mixpro_mm.LabelingHook', labeling='AttentionLabeling')],
        "custom_hooks[0].labeling was (not set) and is 'AttentionLabeling'",
    ),
}


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=pytest.mark.long if number > 0 else ()) for number, name in enumerate(CHANGES)]
)
def test_what_differs_is_named(tiny, cut, name):
    value, what = CHANGES[name]
    before = {path.name: path.read_bytes() for path in cut.iterdir()}
    with pytest.raises(RuntimeError) as error:
        Runner.from_cfg(tiny(cut, resume=True, **{name: value})).train()
    first = what.split(' was ')[0]
    assert str(error.value) == (
        f'CheckpointCheckHook: {cut}/epoch_2.pth was made with other settings: {what}; restore them, use another work '
        f"dir than {cut}, or set allow=['{first}'] of this hook."
    )
    assert {name: (cut / name).read_bytes() for name in before} == before


@pytest.mark.slow
def test_settings_that_may_differ_are_accepted(tiny, cut):
    """Length, hooks, paths and an allowed learning rate may change."""
    config = tiny(cut, resume=True, **{'train_cfg.max_epochs': 4, 'optim_wrapper.optimizer.lr': 0.1})
    config.default_hooks.checkpoint_check.allow = ['optim_wrapper.*']
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.epoch == 4 and (cut / 'epoch_4.pth').exists()


def test_settings_are_read_without_running_them(tiny, tmp_path):
    config = tiny(tmp_path)
    assert diff_configs(settings_in(config.pretty_text), config.to_dict()) == []
    assert settings_in('a = __import__("os").getcwd()') is None
    assert settings_in('import os') is None
    assert settings_in('a = [dict(b=(1, None), **c)]') is None
    assert settings_in("a = dict({'b.c': 1}, d=2)") == dict(a={'b.c': 1, 'd': 2})
    assert settings_in("a = [dict(b=(1, None)), {'c-d': -2.5}]") == dict(a=[dict(b=[1, None]), {'c-d': -2.5}])


def test_differences_go_down_to_the_single_value():
    before = dict(a=dict(b=1, c=[1, 2]), d=[dict(e=1), dict(e=2)], f=(1, 2), g=1)
    now = dict(a=dict(b=1, c=[1, 3]), d=[dict(e=1), dict(e=5), dict(e=6)], f=[1, 2], h=None)
    assert [str(found) for found in diff_configs(before, now)] == [
        'a.c was [1, 2] and is [1, 3]',
        'd[1].e was 2 and is 5',
        'd[2].e was (not set) and is 6',
        'g was 1 and is (not set)',
        'h was (not set) and is None',
    ]
    assert diff_configs(Config(before).to_dict(), before) == []
