"""FlexibleRunner reads before it asks hooks and lets its strategy write: what the guards can do there, and say."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import FlexibleRunner

from mixpro_mm.hooks import NonFiniteLossError
from mixpro_mm.utils.checkpoint import CodeInCheckpointError, read_state_dict


@pytest.fixture
def flexible(tiny, tmp_path):
    """A FlexibleRunner of the tiny run, with every guard."""

    def build(**changes):
        strategy = dict(type='SingleDeviceStrategy')
        return FlexibleRunner.from_cfg(tiny(tmp_path / 'work', log_level='WARNING', strategy=strategy, **changes))

    return build


class Poison(Hook):
    """Makes the images of one iteration NaN."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 7:
            data_batch['inputs'] = [image.float() * torch.nan for image in data_batch['inputs']]


def read_before(path):
    return (
        f'CheckpointCheckHook: FlexibleRunner has read {path} before any hook could look at it: code in it would have '
        'been run'
    )


def test_code_is_run_and_named_before_training(flexible, undisturbed, tmp_path, bomb, capfd):
    """If the code is not run, FlexibleRunner has learnt, and docs/doctor.md and docs/scale.md are to be changed."""
    write, exploded = bomb
    path = write(tmp_path / 'bomb.pth', undisturbed / 'epoch_2.pth')
    with pytest.raises(
        CodeInCheckpointError, match=rf'^Checkpoint {path} is refused: to unpickle it is to run \S*mkdir'
    ):
        flexible(load_from=str(path)).train()
    assert exploded()
    assert read_before(path) in ''.join(capfd.readouterr())
    assert not list((tmp_path / 'work').glob('*.pth'))


@pytest.mark.long
def test_the_strategy_writes_and_a_resume_with_other_settings_is_refused(flexible, tmp_path, capfd):
    runner = flexible(**{'train_cfg.max_epochs': 2})
    runner.train()
    said = ''.join(capfd.readouterr())
    assert (
        'AtomicCheckpointHook: under FlexibleRunner SingleDeviceStrategy writes checkpoints, so a kill or a full disk '
        'may leave one that is not whole'
    ) in said
    assert 'has read' not in said  # there was nothing to read
    (left,) = (tmp_path / 'work').glob('*.pth')
    assert left.name == 'epoch_2.pth' and read_state_dict(left)[0].keys() == runner.model.state_dict().keys()

    for resume in (True, str(left)):
        with pytest.raises(
            RuntimeError,
            match=rf'^CheckpointCheckHook: {left} was made with other settings: optim_wrapper\.optimizer\.lr was '
            r'0\.002 and is 0\.1; set',
        ):
            flexible(resume=resume, **{'optim_wrapper.optimizer.lr': 0.1}).train()
    assert [path.name for path in (tmp_path / 'work').glob('*.pth')] == ['epoch_2.pth']
    assert read_before(left) in ''.join(capfd.readouterr())

    runner = flexible(resume=True)  # goes on, to a loss that is NaN
    runner.register_hook(Poison())
    with pytest.raises(NonFiniteLossError, match=rf'at iteration 8 of the run, in epoch 3; .* checkpoint is {left}\.$'):
        runner.train()
