"""What the command line refuses, each in one sentence, and what it makes of a plan."""

import json
import sys

import pytest
import torch

from mixpro_mm.study import cli
from mixpro_mm.study.launch import Launch
from mixpro_mm.study.plan import Plan, Stage

STUDY = """
title = 'T'
jobs = 3
stages = [
    dict(name='a', command=['-c', 'open("{work_dir}/a.txt", "w")']),
    dict(name='b', command=['-c', 'open("{work_dir}/b.txt", "w")'], needs=['a']),
    dict(name='c', command=['-c', 'open("{work_dir}/c.txt", "w")']),
]
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / 'study.py').write_text(STUDY)
    return tmp_path / 'study.py'


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (['--gpus', '0'], '--gpus 0: a stage needs at least one'),
        (['--gpus', '8'], '--gpus 8 needs --launcher pytorch or slurm; without one a stage is one process'),
        (['--launcher', 'slurm'], '--launcher slurm needs srun, which is not on the PATH of this machine'),
        (['--jobs', '0'], '--jobs 0: at least one stage runs at a time'),
        (['--launcher', 'pytorch', '--jobs', '2'], '--jobs 2: with --launcher pytorch stages take the same GPUs, so'),
        (['--only', 'd*'], "no stage of study.py matches 'd*'; it has a, b, c"),
        (['--partition', 'x'], '--gpus-per-node, --partition and --srun-args are for --launcher slurm'),
        (['--gpus-per-node', '8'], '--gpus-per-node, --partition and --srun-args are for --launcher slurm'),
        (['--dry-run', '--launcher', 'slurm', "--srun-args='x"], "--srun-args 'x cannot be taken apart"),
    ],
)
def test_failures_are_one_sentence(study, tmp_path, options, sentence, monkeypatch, capsys):
    monkeypatch.setenv('PATH', str(tmp_path))  # no srun
    assert cli.main([str(study), '--work-dir', str(tmp_path / 'w'), *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith(sentence) and len(said.splitlines()) == 1
    assert not (tmp_path / 'w').exists()


def test_a_study_that_cannot_be_read_is_one_sentence(study, tmp_path, capsys):
    study.write_text('stages = [')
    assert cli.main([str(study)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    study.write_text("title = 'T'\nstages = [dict(name='a', config='a.py', task='detection', gpus=2, backbone='B',")
    with study.open('a') as file:
        file.write(" pretraining='p')]")
    (tmp_path / 'a.py').write_text('x = [')  # of a stage, where its batch is asked for
    assert cli.main([str(study), '--work-dir', str(tmp_path / 'w')]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f'{tmp_path}/a.py cannot be read: SyntaxError: ') and len(said.splitlines()) == 1


def test_help_says_what_happens_when_a_stage_fails(capsys):
    with pytest.raises(SystemExit):
        cli.main(['--help'])
    assert 'those that do not wait for it go on' in ' '.join(capsys.readouterr().out.split())


def test_only_runs_what_matches_and_what_that_waits_for(study, tmp_path, capsys):
    """The report needs a result, and commands give none: the run ends there, after its stages."""
    assert cli.main([str(study), '--work-dir', str(tmp_path / 'w'), '--only', 'b']) == 1
    assert 'No results to report' in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / 'w').glob('*.txt')) == ['a.txt', 'b.txt']
    assert json.loads((tmp_path / 'w' / 'results.json').read_text())['records'] == []


def test_stages_at_a_time():
    plan = Plan('T', (), seed=0, jobs=3, config='')
    assert [cli._with_jobs(plan, jobs, Launch(how)).jobs for jobs, how in (
        (None, 'none'), (2, 'none'), (None, 'pytorch'), (1, 'pytorch'), (None, 'slurm'), (9, 'slurm'),
    )] == [3, 2, 1, 1, 3, 9]  # fmt: skip


def test_stages_at_a_time_of_torchrun_are_as_many_as_gpus_allow(monkeypatch):
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 8)
    plan = Plan('T', (Stage(name='a', config='x', gpus=8), Stage(name='b', config='x', gpus=4)), 0, jobs=8, config='')
    launches = (Launch('pytorch'), Launch('pytorch', 8), Launch('pytorch', 1))
    assert [cli._with_jobs(plan, None, launch).jobs for launch in launches] == [2, 1, 8]
    assert cli._with_jobs(plan, 1, launches[0]).jobs == 1
    with pytest.raises(ValueError, match=r'--jobs 3: .* at most 2 at a time: 8 GPUs are visible, .* takes 4 or more'):
        cli._with_jobs(plan, 3, launches[0])


def test_estimated_hours_become_costs_where_all_have_them(tmp_path):
    (tmp_path / 'a.py').write_text('train_cfg = dict(max_iters=100)\ntrain_dataloader = dict(batch_size=8)\n')
    known = Stage(name='a', config=str(tmp_path / 'a.py'), gmacs=4.7 * 322 * 3600)
    other = Stage(name='b', config=str(tmp_path / 'a.py'), cost=7)
    costed = cli._with_costs(Plan('T', (Stage(name='d', command=('x',)), known), seed=0, jobs=1, config=''))
    assert costed.stages[1].cost == pytest.approx(800) and costed.stages[0].cost < 1
    mixed = Plan('T', (known, other), seed=0, jobs=1, config='')
    assert cli._with_costs(mixed) is mixed


def test_the_report_says_on_what_each_stage_ran(tmp_path):
    stages = [Stage(name=name, config='x.py', gpus=8) for name in 'abcd']
    for name, gpus, batch in (('a', 4, 256), ('b', 4, 256), ('c', 4, 4)):
        (tmp_path / name).mkdir()
        done = dict(gpus=gpus, batch_size=batch, seconds=5) | (dict(accumulated=3) if name == 'c' else {})
        (tmp_path / name / 'done.json').write_text(json.dumps(done))
    plan = Plan('T', tuple(stages), seed=0, jobs=1, config='')
    described = cli._describe(plan, tmp_path)
    assert described['settings']['GPUs x images a step'] == '4 x 256 (2 stages), 4 x 4 x 3 (1 stage)'
    assert [stage['seconds'] for stage in described['stages']] == [5, 5, 5, None]
    single = Plan('T', (Stage(name='a', config='x.py'),), seed=0, jobs=1, config='')  # the batch was shared out
    assert cli._describe(single, tmp_path)['settings']['GPUs x images a step'] == '4 x 256 (1 stage)'
    (tmp_path / 'a' / 'done.json').write_text(json.dumps(dict(gpus=1, batch_size=64, seconds=5)))
    assert list(cli._describe(single, tmp_path)['settings']) == ['seed', 'stages at a time']


def test_the_python_that_runs_the_study_runs_its_stages():
    assert Launch().command(Stage(name='a'), ['-V']) == [sys.executable, '-V']
