"""The command line of studies: invalid calls, the dry run, selection of stages, and the files that a config needs."""

import json
import shlex
import subprocess
import sys
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mixpro_mm.study import cli
from mixpro_mm.study.configs import files_needed
from mixpro_mm.study.plan import read_plan

STUDY = """
title = 'T'
about = 'Why.'
jobs = 3
stages = [
    dict(name='a', command=['-c', 'open("{work_dir}/a.txt", "w")']),
    dict(name='b', command=['-c', 'open("{work_dir}/b.txt", "w")'], needs=['a']),
    dict(name='c', config='study.py', task='detection', backbone='B', pretraining='p'),
]
"""


def test_only_runs_selected_stages(tmp_path, monkeypatch):
    (tmp_path / 'study.py').write_text(STUDY)
    drawn, reported = [], []
    predictions = SimpleNamespace(draw_pictures=lambda plan, work_dir: drawn.append(plan))
    report = SimpleNamespace(write_report=lambda work_dir, *_: reported.append(work_dir) or ['report.html'])
    monkeypatch.setitem(sys.modules, 'mixpro_mm.report.figures.predictions', predictions)
    monkeypatch.setitem(sys.modules, 'mixpro_mm.report.study', report)
    assert cli.main([str(tmp_path / 'study.py'), '--work-dir', str(tmp_path / 'w'), '--only', 'b']) == 0
    assert sorted(path.name for path in (tmp_path / 'w').glob('*.txt')) == ['a.txt', 'b.txt']
    results = json.loads((tmp_path / 'w' / 'results.json').read_text())
    assert results['records'] == [] and {'Python', 'torch'} <= set(results['study']['versions'])
    assert results['study']['about'] == 'Why.'
    assert results['study']['settings'] == {'seed': '', 'stages at a time': '3', 'unfinished stages': '1'}
    assert results['study']['stages'] == []
    (tmp_path / 'w' / 'c').mkdir()
    (tmp_path / 'w' / 'c' / 'done.json').write_text(json.dumps(dict(metrics={}, checkpoint_sha256='', seconds=2.5)))
    study = cli._describe(read_plan(tmp_path / 'study.py'), tmp_path / 'w')
    row = dict(task='detection', backbone='B', pretraining='p', seed=0, work_dir=str(tmp_path / 'w' / 'c'))
    assert study['stages'] == [dict(name='c', seconds=2.5, **row)]
    assert study['settings'] == {'seed': '0', 'stages at a time': '3'}
    assert [stage.name for stage in drawn[0].stages] == ['a', 'b', 'c'] and reported == [tmp_path / 'w']


DRY = """
title = 'Small'
row = dict(backbone='DeiT', pretraining='mixpro')
stages = [
    dict(name='data', command=['-c', 'print("from the script")'], creates='nowhere/made'),
    dict(name='pre', config='pre.py', task='classification', gpus=8, evaluations=dict(A='a.py'), **row),
    dict(name='seg', config='seg.py', task='segmentation', gpus=4, checkpoint='pre', needs=['data'], tta=True, **row),
]
"""
TESTS = 'test_dataloader = test_evaluator = test_cfg = tta_model = tta_pipeline = dict()\n'
PRE = f"""{TESTS}
train_cfg = dict(max_epochs=300)
train_dataloader = dict(batch_size=128, dataset=dict(data_root='nowhere/imagenet', ann_file='list.txt'))
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')))
"""
SEG = f"""{TESTS}
train_cfg = dict(max_iters=80000)
train_dataloader = dict(batch_size=4, dataset=[dict(data_root='.'), dict(data_root='nowhere/made/voc')])
model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='nowhere/a.pth', prefix='backbone.')),
    neck=dict(init_cfg=dict(type='Pretrained', checkpoint='nowhere/neck.pth')),
)
"""


@pytest.fixture
def dry(tmp_path, monkeypatch, capsys):
    """Return the exit code and the lines of a dry run of three stages, or of its error."""
    monkeypatch.chdir(tmp_path)
    tested = "test_dataloader = dict(dataset=dict(data_root='nowhere/a'))"
    for name, text in (('study', DRY), ('pre', PRE), ('seg', SEG), ('a', tested)):
        (tmp_path / f'{name}.py').write_text(text)

    def run(*options):
        code = cli.main([str(tmp_path / 'study.py'), '--dry-run', '--work-dir', str(tmp_path / 'my work'), *options])
        printed = capsys.readouterr()
        return code, (printed.err or printed.out).splitlines()

    return run


@pytest.mark.parametrize(
    ('option', 'old', 'new', 'words'),
    [
        ('--launcher=none', '', '', '--gpus 8 needs --launcher'),
        ('--jobs=0', '', '', '--jobs must be a whole number of at least 1, got 0'),
        ('--only=d', '', '', "'d'"),
        ('--jobs=1', 'train_cfg', 'x = [', 'cannot be read: SyntaxError'),
        ('--jobs=1', 'test_cfg', 'other', 'seg.py has no test_cfg'),
        ('--jobs=1', 'tta_model = tta_pipeline', 'other', 'seg.py has no tta_model and no tta_pipeline'),
        ('--jobs=1', 'backbone=', 'other=', 'stage seg, which starts from pre: model None has no backbone'),
        ('--jobs=1', 'batch_size=4', 'batch_size=3', 'stage seg takes 4 x 3 = 12 images a step, which cannot be'),
    ],
)
def test_options_and_configs_are_checked_before_anything_runs(dry, tmp_path, option, old, new, words):
    (tmp_path / 'seg.py').write_text(SEG.replace(old, new, 1))
    code, (error,) = dry('--launcher', 'pytorch', '--gpus', '8', option)
    assert code == 1 and words in error and not (tmp_path / 'my work').exists()


def test_a_dry_run_prints_a_shell_script(dry, tmp_path):
    """Its comments list finished stages and missing files, but not those that another stage creates."""
    code, lines = dry()
    assert code == 0 and lines[0].startswith('# Small: 3 stages')
    commands = [shlex.split(line) for line in lines if not line.startswith('#')]
    assert [command[1] for command in commands] == ['-c', '-m', '-m']
    assert str(tmp_path / 'my work' / 'pre' / 'epoch_300.pth') in commands[2]
    script = '\n'.join(line for line in lines if 'mixpro_mm.study.stage' not in line)
    done = subprocess.run(['sh', '-e'], input=script, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, 'from the script\n', '')
    assert not (tmp_path / 'my work').exists()
    (tmp_path / 'my work' / 'pre').mkdir(parents=True)
    finished = dict(checkpoint='x.pth', evaluations=dict(A='mark'))
    (tmp_path / 'my work' / 'pre' / 'done.json').write_text(json.dumps(finished))
    assert [line for line in dry('--only', 'se?')[1][1:] if line.startswith('#')] == [
        '# data', '# pre: finished already', '# missing: nowhere/imagenet', '# missing: nowhere/a',
        '# seg: after data, pre', '# missing: nowhere/neck.pth',
    ]  # fmt: skip


def test_a_dry_run_with_slurm_prints_the_jobs(dry):
    """Commands come first, because they run before all jobs."""
    options = ['--launcher=slurm', '--gpus=4', '--gpus-per-node=2', '--partition=p', '--slurm', 'qos=long', 'time=60']
    code, lines = dry(*options)
    assert code == 0 and [line for line in lines[1:] if line.startswith('#') and 'missing' not in line] == [
        '# data',
        '# job: 2 nodes x 2 GPUs, time 60, cpus_per_task 5, qos long, partition p', '# pre',
        '# job: 2 nodes x 2 GPUs, time 60, cpus_per_task 5, qos long, partition p; after pre', '# seg: after data, pre',
    ]  # fmt: skip
    commands = [shlex.split(line) for line in lines if not line.startswith('#')]
    assert [command[2] for command in commands[1:]] == ['mixpro_mm.study.stage'] * 2
    assert commands[1][commands[1].index('--batch-size') + 1] == '256'
    assert dry('--launcher=slurm', '--slurm', 'nodes=3') == (
        1, ['--slurm nodes is not possible, because the study determines it'],
    )  # fmt: skip


def test_evaluations_can_be_left_out(dry, tmp_path):
    """A stage that was finished without them is finished."""
    (tmp_path / 'my work' / 'pre').mkdir(parents=True)
    (tmp_path / 'my work' / 'pre' / 'done.json').write_text(json.dumps(dict(checkpoint='x.pth')))
    for options, finished in (([], False), (['--no-evaluations'], True)):
        lines = dry('--only', 'pre', *options)[1]
        assert ('# pre: finished already' in lines) is finished
        assert ('--evaluate' in lines[-1]) is not finished and ('# missing: nowhere/a' in lines) is not finished


def test_files_that_a_config_needs():
    """Data are joined as in the toolkits. A checkpoint of a hook is not needed if another stage writes it."""

    def needed(starts=False, **config):
        return [str(path) for path in files_needed(Config(config), starts)]

    images = dict(type='mixpro_mm.ImageNet1k', data_root='r', split='val')
    listed = dict(images, type='ImageNet', data_prefix='other', ann_file='/abs/list.txt')
    scenes = dict(data_root='r/', ann_file='a.json', data_prefix=dict(img='train/', seg='', path='/abs'))
    assert needed(val_dataloader=dict(dataset=images)) == ['r', 'r/val']
    assert needed(train_dataloader=dict(dataset=listed)) == ['r', '/abs/list.txt', 'r/other']
    assert needed(test_dataloader=dict(dataset=dict(dataset=scenes))) == ['r', 'r/a.json', 'r/train', '/abs']
    assert needed(test_dataloader=dict(dataset=dict(scenes, data_root='s3://r'))) == ['/abs']
    assert needed(test_evaluator=dict(ann_file='r/b.json')) == ['r/b.json']
    hook = dict(type='mixpro_mm.TransferCheckHook', checkpoint='hook.pth')
    model = dict(backbone=dict(pretrained='open-mmlab://resnet101_v1c'), teacher=dict(pretrained='t.pth'))
    assert needed(model=model, custom_hooks=[hook], load_from='l.pth') == ['t.pth', 'l.pth', 'hook.pth']
    assert needed(starts=True, custom_hooks=[hook]) == []
