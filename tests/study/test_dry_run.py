import shlex
import subprocess
import sys

import pytest
from mmengine.config import Config

from mixpro_mm.files import write_json
from mixpro_mm.study import cli
from mixpro_mm.study.configs import _read_once, look_at
from mixpro_mm.study.dry_run import describe, files_needed
from mixpro_mm.study.launch import Launch, stage_command
from mixpro_mm.study.plan import Plan, Stage, read_plan

STUDY = """
title = 'Small'
row = dict(backbone='DeiT', pretraining='mixpro')
stages = [
    dict(name='data', command=['-c', 'print("from the script")']),
    dict(name='pre', config='pre.py', task='classification', gpus=8, gmacs=4.7, train_images=1281167, **row),
    dict(name='seg', config='seg.py', task='segmentation', gpus=4, tta=True, checkpoint='pre', needs=['data'], **row),
    dict(name='bad', config='bad.py', task='detection', **row),
]
"""
PRE = """
train_cfg = dict(max_epochs=300)
train_dataloader = dict(batch_size=128, dataset=dict(data_root='nowhere/imagenet'))
test_dataloader = train_dataloader
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')))
"""
SEG = """
train_cfg = dict(max_iters=80000)
train_dataloader = dict(batch_size=4, dataset=dict(datasets=[dict(data_root='.'), dict(data_root='nowhere/voc/')]))
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='nowhere/a.pth', prefix='backbone.')),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint='nowhere/neck.pth')),
)
tta_model = dict(type='SegTTAModel')
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _read_once.cache_clear()
    for name, text in (('study', STUDY), ('pre', PRE), ('seg', SEG), ('bad', "_base_ = 'gone.py'")):
        (tmp_path / f'{name}.py').write_text(text)
    return read_plan(tmp_path / 'study.py')


def test_commands_are_exact_and_everything_else_is_a_comment(study, tmp_path):
    launch = Launch('pytorch')
    lines = list(describe(study, tmp_path / 'my work', launch))
    commands = [line for line in lines if not line.startswith('#')]
    wanted = [stage_command(study, stage, tmp_path / 'my work', launch) for stage in study.stages]
    assert [shlex.split(command) for command in commands] == wanted
    assert str(tmp_path / 'my work' / 'pre' / 'epoch_300.pth') in shlex.split(commands[2])
    assert not (tmp_path / 'my work').exists()


def test_it_is_a_shell_script(study, tmp_path):
    lines = list(describe(study, tmp_path / 'w', Launch()))
    script = '\n'.join(line for line in lines if 'mixpro_mm.study.stage' not in line)
    said = subprocess.run(['sh', '-e'], input=script, capture_output=True, text=True)
    assert (said.returncode, said.stdout, said.stderr) == (0, 'from the script\n', '')


def test_waits_cost_and_the_sum_are_told(study, tmp_path):
    lines = list(describe(study, tmp_path / 'w', Launch('slurm')))
    assert lines[0].startswith('# Small: 4 stages,') and 'by slurm, on 1 or 4 or 8 GPUs each' in lines[0]
    assert '# pre: about 332 GPU hours' in lines
    assert '# seg: after data, pre' in lines
    (total,) = [line for line in lines if 'in all' in line]
    assert total.startswith('# about 332 GPU hours in all (2 stages without gmacs not counted); an estimate,')
    write_json_done(tmp_path / 'w' / 'pre')
    assert '# pre: about 332 GPU hours, finished already' in describe(study, tmp_path / 'w', Launch('slurm'))


def write_json_done(folder):
    folder.mkdir(parents=True)
    write_json(folder / 'done.json', dict(checkpoint='x.pth'))


def test_what_is_missing_is_listed_and_is_no_failure(study, tmp_path):
    missing = [line for line in describe(study, tmp_path / 'w', Launch()) if line.startswith('# missing')]
    # not the backbone's weights: another stage makes them; not '.': it is there
    assert missing[:3] == [f'# missing: nowhere/{path}' for path in ('imagenet (pre)', 'voc (seg)', 'neck.pth (seg)')]
    assert 'seg.py has no tta_pipeline' in missing[3] and missing[3].endswith('(seg)')
    assert 'gone.py' in missing[4] and missing[4].endswith('(bad)') and len(missing) == 5
    (tmp_path / 'seg.py').write_text(SEG + 'tta_pipeline = []\n')
    _read_once.cache_clear()
    missing = [line for line in describe(study, tmp_path / 'w', Launch()) if line.startswith('# missing')]
    assert len(missing) == 4 and 'tta' not in ''.join(missing)


def test_the_files_of_a_stage(study):
    pre, seg = study.stages[1:3]
    assert [str(path) for path in files_needed(pre, look_at(pre.config))] == ['nowhere/imagenet']
    assert [str(path) for path in files_needed(seg, look_at(seg.config))] == ['.', 'nowhere/voc', 'nowhere/neck.pth']


def test_through_the_command_line(study, tmp_path, capsys):
    code = cli.main([str(tmp_path / 'study.py'), '--dry-run', '--only', 'se?', '--work-dir', str(tmp_path / 'w')])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0 and lines[0].startswith('# Small: 3 stages')
    assert [line.split(':')[0] for line in lines[1:] if line.startswith(('# data', '# pre', '# seg', '# bad'))] == [
        '# data', '# pre', '# seg',
    ]  # fmt: skip
    assert f'{sys.executable} -c' in lines[2]


def test_the_options_of_the_launcher_reach_the_commands(study, tmp_path, capsys):
    options = ['--launcher=slurm', '--gpus=4', '--gpus-per-node=2', '--partition=p', '--srun-args=--time=3-0']
    assert cli.main([str(tmp_path / 'study.py'), '--dry-run', '--only', 'pre', *options]) == 0
    (command,) = [line for line in capsys.readouterr().out.splitlines() if not line.startswith('#')]
    for part in ('--ntasks=4', '--ntasks-per-node=2', '--partition=p', '--time=3-0', '--batch-size 256'):
        assert f' {part} ' in command


def test_options_that_do_not_fit_are_an_error_not_something_missing(study, tmp_path, capsys):
    """Though the config of another stage cannot be read, which is something missing."""
    assert cli.main([str(tmp_path / 'study.py'), '--dry-run', '--launcher', 'pytorch', '--gpus', '3']) == 1
    said = capsys.readouterr()
    assert said.out == ''
    assert said.err == 'stage pre takes 8 x 128 = 1024 images a step, which 3 GPUs cannot share equally\n'


def test_nothing_missing_is_said(tmp_path, capsys):
    (tmp_path / 'study.py').write_text("title = 'T'\nstages = [dict(name='a', command=['x'])]")
    assert cli.main([str(tmp_path / 'study.py'), '--dry-run']) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith('# nothing is missing')


def needed(**config):
    return [str(path) for path in files_needed(Stage(name='a', config='x'), Config(config))]


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


def test_the_outermost_of_what_is_missing_is_told_and_not_what_a_stage_creates(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _read_once.cache_clear()
    dataset = dict(data_root='data/made', ann_file='list.txt')
    (tmp_path / 'a.py').write_text(f'train_dataloader = dict(batch_size=1, dataset={dataset})')
    row = dict(config=str(tmp_path / 'a.py'), task='detection', backbone='B', pretraining='p')
    make = Stage(name='make', command=('x',), creates='data/made')

    def missing(*stages):
        lines = describe(Plan('T', stages, seed=0, jobs=1, config=''), tmp_path / 'w', Launch())
        return [line for line in lines if line.startswith('# missing')]

    assert missing(Stage(name='a', **row)) == ['# missing: data/made (a)']
    assert missing(make, Stage(name='a', **row)) == []
    (tmp_path / 'data' / 'made').mkdir(parents=True)
    assert missing(Stage(name='a', **row)) == ['# missing: data/made/list.txt (a)']
    (tmp_path / 'data' / 'made' / 'list.txt').touch()
    assert missing(Stage(name='a', **row)) == []


def test_weights_are_those_of_the_model_and_of_the_hooks():
    hook = dict(type='mixpro_mm.TransferCheckHook', checkpoint='hook.pth')
    address = dict(pretrained='open-mmlab://resnet101_v1c')
    assert needed(model=dict(backbone=address, teacher=dict(pretrained='t.pth')), custom_hooks=[hook]) == [
        't.pth',
        'hook.pth',
    ]
    stage = Stage(name='a', config='x', checkpoint='pre')
    assert files_needed(stage, Config(dict(custom_hooks=[hook]))) == []  # another stage makes what it compares with
