"""The command line: what it refuses before anything runs, its dry run, and which stages run."""

import json
import shlex
import subprocess
import sys

import pytest
from mmengine.config import Config

from mixpro_mm.study import cli
from mixpro_mm.study.configs import files_needed
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
    ('options', 'words'),
    [
        (['--gpus', '8'], '--gpus 8 needs --launcher pytorch or slurm'),
        (['--launcher', 'slurm'], '--launcher slurm needs srun'),
        (['--jobs', '0'], '--jobs must be a whole number of at least 1, got 0'),
        (['--only', 'd*'], "no stage of study.py matches 'd*'; there are a, b, c"),
        (['--seeds', '0'], '--seeds must be a whole number of at least 1, got 0'),
    ],
)
def test_failures_are_one_sentence(study, tmp_path, options, words, monkeypatch, capsys):
    monkeypatch.setenv('PATH', str(tmp_path))  # no srun
    assert cli.main([str(study), '--work-dir', str(tmp_path / 'w'), *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith(words) and len(said.splitlines()) == 1
    assert not (tmp_path / 'w').exists()


def test_srun_args_that_cannot_be_parsed_are_refused(study, capsys):
    with pytest.raises(SystemExit):
        cli.main([str(study), '--dry-run', '--launcher', 'slurm', "--srun-args=--x='y"])
    assert '--srun-args' in capsys.readouterr().err


TESTS = 'test_dataloader = test_evaluator = test_cfg = dict()\n'
VALID = "model = dict(type='X', backbone=dict())\ntrain_dataloader = dict(batch_size=4)\n" + TESTS


@pytest.mark.parametrize(
    ('config', 'words'),
    [
        ('x = [', 'cannot be read: SyntaxError'),
        (VALID.replace('test_cfg', 'other'), r'b.py has no test_cfg, which'),
        (VALID.replace('backbone', 'other'), 'stage b, which starts from a: model X has no backbone'),
        (VALID, 'b.py has no tta_model and no tta_pipeline'),
    ],
)
@pytest.mark.parametrize('dry', [[], ['--dry-run']])
def test_configs_are_checked_before_anything_runs(tmp_path, config, words, dry, capsys):
    row = "backbone='B', pretraining='p'"
    tta = config == VALID
    (tmp_path / 'study.py').write_text(
        f"title = 'T'\nstages = [dict(name='a', config='a.py', task='segmentation', {row}), dict(name='b', "
        f"config='b.py', task='segmentation', checkpoint='a', tta={tta}, {row})]"
    )
    (tmp_path / 'a.py').write_text(VALID)
    (tmp_path / 'b.py').write_text(config)
    assert cli.main([str(tmp_path / 'study.py'), '--work-dir', str(tmp_path / 'w'), *dry]) == 1
    said = capsys.readouterr()
    assert said.out == '' and len(said.err.splitlines()) == 1 and not (tmp_path / 'w').exists()
    for part in words.split('.*'):
        assert part in said.err


def test_only_runs_what_matches_and_what_that_waits_for(study, tmp_path, capsys):
    """The report needs a result, and commands give none: the run ends there, after its stages."""
    assert cli.main([str(study), '--work-dir', str(tmp_path / 'w'), '--only', 'b']) == 1
    assert 'No results to report' in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / 'w').glob('*.txt')) == ['a.txt', 'b.txt']
    results = json.loads((tmp_path / 'w' / 'results.json').read_text())
    assert results['records'] == [] and results['study']['settings']['stages at a time'] == '3'


def test_the_study_of_a_report(tmp_path):
    stages = tuple(Stage(name=name, config='x.py', backbone='B', seed=seed) for name, seed in (('a', 4), ('b', 5)))
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'done.json').write_text(json.dumps(dict(seconds=5)))
    described = cli._describe(Plan('T', (Stage(name='c', command=('x',)), *stages), 0, jobs=1, config=''), tmp_path)
    assert [(stage['name'], stage['seconds']) for stage in described['stages']] == [('a', 5), ('b', None)]
    assert described['settings']['seed'] == '4, 5' and {'Python', 'torch'} <= set(described['versions'])


DRY = """
title = 'Small'
row = dict(backbone='DeiT', pretraining='mixpro')
stages = [
    dict(name='data', command=['-c', 'print("from the script")'], creates='nowhere/made'),
    dict(name='pre', config='pre.py', task='classification', gpus=8, evaluations=dict(A='a.py'), **row),
    dict(name='seg', config='seg.py', task='segmentation', gpus=4, checkpoint='pre', needs=['data'], **row),
]
"""
PRE = f"""
{TESTS}
train_cfg = dict(max_epochs=300)
train_dataloader = dict(batch_size=128, dataset=dict(data_root='nowhere/imagenet', ann_file='list.txt'))
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')))
"""
SEG = f"""
{TESTS}
train_cfg = dict(max_iters=80000)
train_dataloader = dict(batch_size=4, dataset=[dict(data_root='.'), dict(data_root='nowhere/made/voc')])
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='nowhere/a.pth', prefix='backbone.')),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint='nowhere/neck.pth')),
)
"""


@pytest.fixture
def dry(tmp_path, monkeypatch, capsys):
    """Runs a dry run of three stages; its exit code and lines."""
    monkeypatch.chdir(tmp_path)
    tested = "test_dataloader = dict(dataset=dict(data_root='nowhere/a'))"
    for name, text in (('study', DRY), ('pre', PRE), ('seg', SEG), ('a', tested)):
        (tmp_path / f'{name}.py').write_text(text)

    def run(*options):
        code = cli.main([str(tmp_path / 'study.py'), '--dry-run', '--work-dir', str(tmp_path / 'my work'), *options])
        return code, capsys.readouterr().out.splitlines()

    return run


def test_a_dry_run_is_a_shell_script_of_commands_in_order(dry, tmp_path):
    code, lines = dry()
    assert code == 0 and lines[0].startswith('# Small: 3 stages')
    commands = [shlex.split(line) for line in lines if not line.startswith('#')]
    assert [command[1] for command in commands] == ['-c', '-m', '-m']
    assert str(tmp_path / 'my work' / 'pre' / 'epoch_300.pth') in commands[2]
    script = '\n'.join(line for line in lines if 'mixpro_mm.study.stage' not in line)
    said = subprocess.run(['sh', '-e'], input=script, capture_output=True, text=True)
    assert (said.returncode, said.stdout, said.stderr) == (0, 'from the script\n', '')
    assert not (tmp_path / 'my work').exists()


def test_a_dry_run_tells_what_is_finished_and_what_is_missing(dry, tmp_path):
    """Not what another stage makes: the backbone's weights, and data that a command creates."""
    (tmp_path / 'my work' / 'pre').mkdir(parents=True)
    done = dict(checkpoint='x.pth', evaluations=dict(A='mark'))
    (tmp_path / 'my work' / 'pre' / 'done.json').write_text(json.dumps(done))
    comments = [line for line in dry('--only', 'se?')[1][1:] if line.startswith('#')]
    assert comments == [
        '# data', '# pre: finished already', '# missing: nowhere/imagenet', '# missing: nowhere/a',
        '# seg: after data, pre', '# missing: nowhere/neck.pth',
    ]  # fmt: skip


def test_the_options_of_the_launcher_reach_the_commands(dry, capsys):
    options = ['--launcher=slurm', '--gpus=4', '--gpus-per-node=2', '--partition=p', "--srun-args=--time=3-0 --c='a b'"]
    code, lines = dry('--only', 'pre', *options)
    command = shlex.split(lines[-1])
    assert code == 0 and {'--ntasks=4', '--ntasks-per-node=2', '--partition=p', '--time=3-0', '--c=a b'} < set(command)
    assert command[command.index('--batch-size') + 1] == '256' and sys.executable in command
    assert dry('--launcher', 'pytorch', '--gpus', '3') == (1, [])  # 1024 images cannot be divided


def needed(starts=False, **config):
    return [str(path) for path in files_needed(Config(config), starts)]


def test_paths_of_data_are_joined_as_the_toolkits_join_them():
    image = dict(type='mixpro_mm.ImageNet1k', data_root='r', split='val')
    listed = dict(type='ImageNet', data_root='r', split='val', data_prefix='other', ann_file='/abs/list.txt')
    cifar = dict(type='CIFAR10', data_root='r', split='train')
    scenes = dict(data_root='r/', ann_file='a.json', data_prefix=dict(img='train/', seg='', path='/abs'))
    assert needed(val_dataloader=dict(dataset=image)) == ['r', 'r/val']
    assert needed(train_dataloader=dict(dataset=listed)) == ['r', '/abs/list.txt', 'r/other']
    assert needed(train_dataloader=dict(dataset=cifar)) == ['r']
    assert needed(test_dataloader=dict(dataset=dict(dataset=scenes))) == ['r', 'r/a.json', 'r/train', '/abs']
    assert needed(test_dataloader=dict(dataset=dict(scenes, data_root='s3://r'))) == ['/abs']
    assert needed(test_evaluator=dict(ann_file='r/b.json')) == ['r/b.json']


def test_weights_are_those_of_the_model_and_of_the_hooks():
    hook = dict(type='mixpro_mm.TransferCheckHook', checkpoint='hook.pth')
    model = dict(backbone=dict(pretrained='open-mmlab://resnet101_v1c'), teacher=dict(pretrained='t.pth'))
    assert needed(model=model, custom_hooks=[hook], load_from='l.pth') == ['t.pth', 'l.pth', 'hook.pth']
    assert needed(starts=True, custom_hooks=[hook]) == []  # another stage makes what it compares with
