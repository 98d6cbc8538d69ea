"""Two studies in one work dir, and stages with changed configs."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mixpro_mm.study import stage
from mixpro_mm.study.configs import stage_config
from mixpro_mm.study.plan import Plan, Stage
from mixpro_mm.study.runner import StudyRunner

ROOT = Path(__file__).parents[2]


def plan(*stages):
    return Plan('test', stages, seed=0, jobs=1, config='')


def test_the_second_of_two_studies_at_once_stops_and_names_the_first(tmp_path):
    """The first process waits in its only stage."""
    (tmp_path / 'study.py').write_text(
        "title = 'T'\nstages = [dict(name='wait', command=['-c', 'import os, time\\n"
        f'open("{tmp_path}/begun", "w").close()\\n'
        f'while not os.path.exists("{tmp_path}/go"): time.sleep(0.1)\'])]'
    )
    command = [sys.executable, str(ROOT / 'tools' / 'study.py'), str(tmp_path / 'study.py')]
    command += ['--work-dir', str(tmp_path / 'work')]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=tmp_path)
    try:
        while not (tmp_path / 'begun').exists():
            assert first.poll() is None
            time.sleep(0.1)
        second = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert second.returncode == 1
        assert second.stderr.strip() == (
            f'another process runs a study in {tmp_path}/work (process {first.pid} on {os.uname().nodename}); wait for '
            'it or choose another work dir'
        )
        assert first.poll() is None
        (tmp_path / 'go').touch()
        _, said = first.communicate()
    finally:
        first.kill()
    assert (tmp_path / 'work' / 'wait' / 'done.json').exists(), said.decode()


def test_another_command_of_the_same_name_is_not_taken_for_finished(tmp_path):
    def study(script):
        return contextlib.closing(StudyRunner(plan(Stage(name='make', command=('-c', script))), tmp_path))

    with study('open("{work_dir}/a", "w")') as runner:
        runner.run()
    with study('open("{work_dir}/a", "w")') as runner:
        runner.check_finished()
    with study('open("{work_dir}/b", "w")') as runner, pytest.raises(RuntimeError) as error:
        runner.run()
    assert str(error.value) == (
        'stage make is finished, but by another command (-c open("{work_dir}/a", "w")): remove '
        f'{tmp_path}/make to run it again; or choose another work dir'
    )
    assert (tmp_path / 'a').exists() and not (tmp_path / 'b').exists()


@pytest.fixture
def claimed(tmp_path):
    """Return a function that claims the folder of a stage and returns its output."""
    (tmp_path / 'start.pth').write_bytes(b'one')

    def claim(capsys, lr=0.1, seed=0, start=None):
        (tmp_path / 'a.py').write_text(f'model = dict(backbone=dict())\noptim_wrapper = dict(optimizer=dict(lr={lr}))')
        if start is not None:
            (tmp_path / 'start.pth').write_bytes(start)
        arguments = str(tmp_path / 'a.py'), tmp_path / 'work', seed, str(tmp_path / 'start.pth')
        config = stage_config(*arguments)
        return stage._claim(config, tmp_path / 'work', arguments[3]), capsys.readouterr().err

    (tmp_path / 'work').mkdir()
    return claim


@pytest.mark.parametrize(
    ('change', 'what'),
    [
        (dict(lr=0.2), r'optim_wrapper.optimizer.lr was 0.1 and is 0.2'),
        (dict(seed=1), r'randomness.seed was 0 and is 1'),
        (dict(start=b'two'), r"model.backbone.init_cfg.checkpoint was '7692c3ad3540bb803c020b3aee66cd888"),
    ],
)
def test_what_has_changed_in_a_stage_is_named(claimed, capsys, tmp_path, change, what):
    mark, said = claimed(capsys)
    assert mark and not said
    assert claimed(capsys) == (mark, '')
    refused, said = claimed(capsys, **change)
    assert refused is None
    assert said.startswith(f'{tmp_path}/work holds a stage of another config, seed or checkpoint ({what}')
    assert said.endswith('): remove that folder, or choose another work dir\n')
    assert json.loads((tmp_path / 'work' / 'stage.json').read_text())['fingerprint'] == mark


def test_a_stage_begun_before_settings_were_noted_is_refused_without_them(claimed, capsys, tmp_path):
    (tmp_path / 'work' / 'stage.json').write_text('{"fingerprint": "old"}')
    refused, said = claimed(capsys)
    assert refused is None
    assert said.startswith(f'{tmp_path}/work holds a stage of another config, seed or checkpoint: remove')
