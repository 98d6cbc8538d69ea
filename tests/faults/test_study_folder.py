"""Stages whose command, config, seed or checkpoint changed since they ran."""

import contextlib
import json

import pytest

from mixpro_mm.study import stage
from mixpro_mm.study.configs import stage_config
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.runner import StudyRunner


def test_another_command_of_the_same_name_is_not_taken_for_finished(tmp_path):
    def study(script):
        plan = Plan('test', [Stage(name='make', command=('-c', script))], seed=0, jobs=1, config='')
        return contextlib.closing(StudyRunner(plan, tmp_path))

    with study('open("{work_dir}/a", "w")') as runner:
        runner.run()
    with study('open("{work_dir}/a", "w")') as runner:
        runner.check_finished()
    message = r'stage make is finished, but by another command \(-c open\("{work_dir}/a", "w"\)\)'
    with study('open("{work_dir}/b", "w")') as runner, pytest.raises(RuntimeError, match=message):
        runner.run()
    assert (tmp_path / 'a').exists() and not (tmp_path / 'b').exists()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(lr=0.2), 'optim_wrapper.optimizer.lr was 0.1 and is 0.2'),
        (dict(seed=1), 'randomness.seed was 0 and is 1'),
        (dict(start=b'two'), "model.backbone.init_cfg.checkpoint was '7692c3ad3540bb803c020b3aee66cd888"),
    ],
)
def test_a_changed_stage_is_refused(capsys, tmp_path, change, message):
    work_dir = tmp_path / 'work'
    work_dir.mkdir()

    def claim(lr=0.1, seed=0, start=b'one'):
        (tmp_path / 'a.py').write_text(f'model = dict(backbone=dict())\noptim_wrapper = dict(optimizer=dict(lr={lr}))')
        (tmp_path / 'start.pth').write_bytes(start)
        start = str(tmp_path / 'start.pth')
        config = stage_config(str(tmp_path / 'a.py'), work_dir, seed, start)
        return stage._claim(config, work_dir, start), capsys.readouterr().err

    mark, error = claim()
    assert mark and not error
    assert claim() == (mark, '')
    refused, error = claim(**change)
    assert refused is None
    assert error.startswith(f'{work_dir} holds a stage of another config, seed or checkpoint ({message}')
    assert json.loads((work_dir / 'stage.json').read_text())['fingerprint'] == mark
