"""Checkpoints that are damaged, of another format, with code, or made with other settings."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import FlexibleRunner, Runner
from safetensors.torch import save_file

from mixpro_mm.utils.checkpoint import CodeInCheckpointError, read_checkpoint
from mixpro_mm.utils.diff_configs import diff_configs, settings_in

LR = 'optim_wrapper.optimizer.lr'


def flipped(data):
    """Flip one bit in the middle of the file."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.fixture
def good(undisturbed):
    return undisturbed / 'epoch_2.pth'


def start(how, tiny, work_dir, path):
    """Run a Runner that reads ``path``."""
    work_dir.mkdir(exist_ok=True)
    if how == 'test':
        return Runner.from_cfg(tiny(work_dir, load_from=str(path))).test()
    changes = dict(load_from=str(path)) if how in ('load_from', 'resume from') else {}
    changes |= dict(resume=True) if how.startswith('resume') else {}
    if how == 'init_cfg':
        changes['model.backbone.init_cfg'] = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
    if how == 'resume':
        (work_dir / 'last_checkpoint').write_text(str(path))
    return Runner.from_cfg(tiny(work_dir, **changes)).train()


@pytest.mark.parametrize('how', ['load_from', 'resume', 'resume from', 'init_cfg', 'test'])
def test_code_in_a_checkpoint_is_not_run(tmp_path, tiny, bomb, how):
    path, made = bomb
    with pytest.raises(CodeInCheckpointError, match=rf'^Checkpoint {path} is refused: unpickling it runs \S*mkdir'):
        start(how, tiny, tmp_path / 'work', path)
    assert not made.exists()


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda data: data[:-1], r'cannot be read: it is truncated'),
        (flipped, r'is damaged: the checksum of its entry \S+/data/\d+ differs'),
    ],
)
def test_a_damaged_checkpoint_is_named(tmp_path, tiny, good, damage, message):
    path = tmp_path / 'a.pth'
    path.write_bytes(damage(good.read_bytes()))
    with pytest.raises(ValueError, match=rf'^Checkpoint {path} {message}'):
        start('resume', tiny, tmp_path / 'work', path)
    assert list((tmp_path / 'work').glob('*.pth')) == []


def test_a_file_without_tensors_for_mmengine_is_named(tmp_path, tiny, good):
    path, content = tmp_path / 'a.pth', torch.load(good, weights_only=False)
    torch.save(dict(model=content['state_dict']), path)
    with pytest.raises(ValueError, match=rf'^CheckpointCheckHook: {path} has its tensors under `model`, where'):
        start('load_from', tiny, tmp_path / 'work', path)
    save_file(content['state_dict'], path)
    with pytest.raises(ValueError, match=rf'^Checkpoint {path} is a safetensors file, which mmengine does not read'):
        start('resume', tiny, tmp_path / 'work', path)


@pytest.mark.parametrize('how', ['resume', 'init_cfg'])
def test_a_missing_checkpoint_is_named(tmp_path, tiny, how):
    with pytest.raises(FileNotFoundError, match=rf'^Checkpoint {tmp_path}/none\.pth is not an existing file\.$'):
        start(how, tiny, tmp_path / 'work', tmp_path / 'none.pth')


def test_a_checkpoint_of_mmengine_is_read(tmp_path, tiny, good):
    """The file includes history buffers, metadata and optimizer."""
    content = torch.load(good, weights_only=False)
    assert {type(buffer).__name__ for buffer in content['message_hub']['log_scalars'].values()} == {'HistoryBuffer'}
    start('resume', tiny, tmp_path / 'work', good)


@pytest.fixture
def cut(tmp_path, good):
    """Return the work dir of a run interrupted after two epochs."""
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    (work_dir / 'epoch_2.pth').write_bytes(good.read_bytes())
    (work_dir / 'last_checkpoint').write_text(str(work_dir / 'epoch_2.pth'))
    return work_dir


AREA = dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        (LR, 0.1, f'{LR} was 0.002 and is 0.1'),
        ('custom_hooks', [AREA], "custom_hooks[0].labeling was (not set) and is 'AreaLabeling'"),
    ],
)
def test_other_settings_are_named(tiny, cut, name, value, message):
    before = {path.name: path.read_bytes() for path in cut.iterdir()}
    with pytest.raises(RuntimeError) as error:
        Runner.from_cfg(tiny(cut, resume=True, **{name: value})).train()
    assert str(error.value) == (
        f'CheckpointCheckHook: {cut}/epoch_2.pth was made with other settings: {message}; restore them, use another '
        f"work dir than {cut}, or set allow=['{message.split(' was ')[0]}'] of this hook."
    )
    assert {name: (cut / name).read_bytes() for name in before} == before
    allow = [message.split(' was ')[0]]  # the advice works, also for a list; a check may be added to a resumed run
    checks = [dict(type='mixpro_mm.CheckpointCheckHook', allow=allow), dict(type='mixpro_mm.ClassCheckHook')]
    config = tiny(cut, resume=True, **{name: value})
    config.default_hooks.pop('checkpoint_check', None)
    config.custom_hooks = [*config.custom_hooks, *checks]
    Runner.from_cfg(config).train()


@pytest.mark.slow
def test_settings_that_may_differ_are_accepted(tiny, cut):
    """Length, hooks, paths and an allowed learning rate may change."""
    config = tiny(cut, resume=True, **{'train_cfg.max_epochs': 4, LR: 0.1})
    config.default_hooks.checkpoint_check.allow = ['optim_wrapper.*']
    runner = Runner.from_cfg(config)
    runner.train()
    assert runner.epoch == 4 and (cut / 'epoch_4.pth').exists()


def test_settings_are_read_without_running_them(tiny, tmp_path):
    config = tiny(tmp_path)
    assert diff_configs(settings_in(config.pretty_text), config.to_dict()) == []
    assert settings_in('a = __import__("os").getcwd()') is settings_in('import os') is None
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


@pytest.fixture
def flexible(tiny, tmp_path):
    """Return a function that trains with a FlexibleRunner, which reads checkpoints before hooks run."""

    def run(**changes):
        strategy = dict(type='SingleDeviceStrategy')
        FlexibleRunner.from_cfg(tiny(tmp_path / 'work', log_level='WARNING', strategy=strategy, **changes)).train()

    return run


def test_flexible_runner_has_run_code_before_the_check(flexible, tmp_path, bomb, capfd):
    """If this fails because FlexibleRunner no longer runs the code, change docs/doctor.md and docs/scale.md."""
    path, made = bomb
    with pytest.raises(CodeInCheckpointError, match=rf'^Checkpoint {path} is refused: unpickling it runs \S*mkdir'):
        flexible(load_from=str(path))
    assert made.exists()
    assert f'CheckpointCheckHook: FlexibleRunner has read {path} before this check' in ''.join(capfd.readouterr())
    assert not list((tmp_path / 'work').glob('*.pth'))


@pytest.mark.long
def test_flexible_runner_writes_and_resumes_with_the_same_settings(flexible, tmp_path, capfd):
    flexible(**{'train_cfg.max_epochs': 2})
    assert 'AtomicCheckpointHook: under FlexibleRunner ' in ''.join(capfd.readouterr())
    (left,) = (tmp_path / 'work').glob('*.pth')
    assert left.name == 'epoch_2.pth' and read_checkpoint(left)[0]
    for resume in (True, str(left)):
        with pytest.raises(RuntimeError, match=rf'{left} was made with other settings: {LR} was 0\.002 and is 0\.1'):
            flexible(resume=resume, **{LR: 0.1})
