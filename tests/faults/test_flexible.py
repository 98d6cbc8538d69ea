"""Hooks under FlexibleRunner, which reads checkpoints before hooks run and writes them by its strategy."""

import pytest
from mmengine.runner import FlexibleRunner

from mixpro_mm.utils.checkpoint import CodeInCheckpointError, read_state_dict


@pytest.fixture
def flexible(tiny, tmp_path):
    """Build a FlexibleRunner of the tiny run."""

    def build(**changes):
        strategy = dict(type='SingleDeviceStrategy')
        return FlexibleRunner.from_cfg(tiny(tmp_path / 'work', log_level='WARNING', strategy=strategy, **changes))

    return build


def read_before(path):
    return f'CheckpointCheckHook: FlexibleRunner has read {path} before this check, so code in it has already run'


def test_code_is_run_and_named_before_training(flexible, undisturbed, tmp_path, bomb, capfd):
    """If this fails because FlexibleRunner no longer runs the code, change docs/doctor.md and docs/scale.md."""
    write, exploded = bomb
    path = write(tmp_path / 'bomb.pth', undisturbed / 'epoch_2.pth')
    with pytest.raises(CodeInCheckpointError, match=rf'^Checkpoint {path} is refused: unpickling it runs \S*mkdir'):
        flexible(load_from=str(path)).train()
    assert exploded()
    assert read_before(path) in ''.join(capfd.readouterr())
    assert not list((tmp_path / 'work').glob('*.pth'))


@pytest.mark.long
def test_the_strategy_writes_and_a_resume_with_other_settings_is_refused(flexible, tmp_path, capfd):
    runner = flexible(**{'train_cfg.max_epochs': 2})
    runner.train()
    said = ''.join(capfd.readouterr())
    assert 'AtomicCheckpointHook: under FlexibleRunner a kill or full disk may truncate a file' in said
    assert 'has read' not in said
    (left,) = (tmp_path / 'work').glob('*.pth')
    assert left.name == 'epoch_2.pth' and read_state_dict(left)[0].keys() == runner.model.state_dict().keys()

    for resume in (True, str(left)):
        with pytest.raises(
            RuntimeError,
            match=rf'^CheckpointCheckHook: {left} was made with other settings: optim_wrapper\.optimizer\.lr was '
            r'0\.002 and is 0\.1',
        ):
            flexible(resume=resume, **{'optim_wrapper.optimizer.lr': 0.1}).train()
    assert [path.name for path in (tmp_path / 'work').glob('*.pth')] == ['epoch_2.pth']
    assert read_before(left) in ''.join(capfd.readouterr())
