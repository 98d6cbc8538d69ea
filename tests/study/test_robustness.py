"""The command that tests checkpoints on several suites, on digits."""

import copy
import json
import os
import re
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from PIL import Image
from torch import distributed

from mixpro_mm.study import robustness
from mixpro_mm.study.robustness import main, suite_config
from mixpro_mm.utils.configs import find_configs, read_config

DIGITS = dict(type='mixpro_mm.Digits', split='test', indices=40)
PACK = [dict(type='PackInputs')]
CALIBRATION = dict(type='mixpro_mm.CalibrationMetric', bin_size=10)
FOG = dict(corruptions=['fog', 'contrast'], severities=[1, 5], dataset=DIGITS, type='mixpro_mm.CorruptedDataset')
SUITES = dict(
    imagenet=dict(test_dataloader=dict(dataset=DIGITS, batch_size=7), test_evaluator=CALIBRATION),
    fog=dict(test_dataloader=dict(dataset=FOG), test_evaluator=dict(type='mixpro_mm.CorruptionMetric')),
    dark=dict(
        test_dataloader=dict(dataset=DIGITS),
        test_evaluator=CALIBRATION,
        test_cfg=dict(type='mixpro_mm.OcclusionTestLoop', modes=['random'], ratios=[0.0, 0.25, 1.0], grid=4),
    ),
    absent=dict(
        test_dataloader=dict(dataset=dict(type='mixpro_mm.ImageNetR', data_root='nowhere')), test_evaluator=CALIBRATION
    ),
)
MODEL = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
        img_size=32,
        patch_size=8,
    ),
    head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=32),
)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command in an empty folder with two checkpoints; return code, output and results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('mmengine.runner.runner.collect_env', dict)
    loader = dict(
        batch_size=20,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(DIGITS, pipeline=PACK),
    )
    config = Config(
        dict(
            default_scope='mmpretrain',
            model=MODEL,
            data_preprocessor=dict(mean=[60.0] * 3, std=[80.0] * 3, num_classes=10),
            test_dataloader=loader,
            test_evaluator=dict(type='Accuracy'),
            test_cfg=dict(),
            suites=SUITES,
        )
    )
    config.dump('mine.py')
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = MODELS.build(dict(copy.deepcopy(MODEL), _scope_='mmpretrain'))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        torch.save(dict(state_dict=model.state_dict()), f'{seed}.pth')
    torch.save(dict(model=model.state_dict()), 'inside.pth')

    def call(*arguments):
        code = main(['mine.py', '--work-dir', 'out', *arguments])
        results = json.loads((tmp_path / 'out' / 'robustness.json').read_text()) if (tmp_path / 'out').exists() else []
        return code, capsys.readouterr(), {(each['suite'], each['label']): each for each in results}

    return call


def rows(page):
    """Return the cells of the first table by suite and metric."""
    table = page.split('\n\n')[2].splitlines()
    cells = [[cell.strip() for cell in line.strip('|').split('|')] for line in table]
    return cells[0], {(line[0], line[2]): line[3:] for line in cells[2:]}


def test_all_suites_of_two_checkpoints_are_on_one_page(run, tmp_path):
    code, printed, results = run('--checkpoint', 'A=1.pth', 'B=2.pth')
    assert code == 0 and 'absent: skipped, because nowhere does not exist' in printed.out
    assert set(results) == {(suite, label) for suite in ('imagenet', 'fog', 'dark') for label in 'AB'}
    assert results['fog', 'A']['images'] == 160 and results['imagenet', 'B']['checkpoint'] == '2.pth'
    page = (tmp_path / 'out' / 'robustness.md').read_text()
    head, cells = rows(page)
    assert head == ['suite', 'images', 'metric', 'A', 'B']
    for (suite, metric), key in {
        ('imagenet', 'top-1'): 'calibration/top1',
        ('fog', 'mean top-1'): 'corruption/top1',
        ('fog', 'mean ECE (lower is better)'): 'corruption/ece',
    }.items():
        assert cells[suite, metric] == [f'{results[suite, label]["metrics"][key]:.1f}' for label in 'AB']
    dark = [results['dark', label]['metrics'] for label in 'AB']
    means = [(each['occlusion/random_0.25'] + each['occlusion/random_1']) / 2 for each in dark]
    assert cells['dark', 'mean top-1, random occlusion'] == [f'{mean:.1f}' for mean in means]
    fog = results['fog', 'B']['metrics']
    line = [fog[f'corruption/fog/{name}'] for name in ('1/top1', '5/top1', 'top1')]
    assert f'| fog | {" | ".join(f"{value:.1f}" for value in line)} |' in page.partition('## fog: B')[2]
    assert '- absent: skipped, because nowhere does not exist' in page.partition('## Not tested')[2]


def test_results_of_other_suites_are_kept_for_the_same_checkpoint(run):
    assert run('--checkpoint', 'A=1.pth', '--suites', 'imagenet')[0] == 0
    _, _, results = run('--checkpoint', 'A=1.pth', '--suites', 'dark')
    assert set(results) == {('imagenet', 'A'), ('dark', 'A')}
    _, _, results = run(
        '--checkpoint', 'A=1.pth', '--suites', 'dark', '--cfg-options', 'data_preprocessor.mean=[1,1,1]'
    )
    assert set(results) == {('dark', 'A')}  # other settings
    assert run('--checkpoint', 'A=1.pth', '--suites', 'imagenet')[0] == 0
    _, _, results = run('--checkpoint', 'A=2.pth', '--suites', 'dark')
    assert set(results) == {('dark', 'A')}


def test_folders_of_unknown_classes_are_suites(run, tmp_path):
    for number in range(8):
        folder = tmp_path / ('far' if number < 5 else 'known')
        folder.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f'{number}.png')
    config = Config.fromfile('mine.py')
    known = dict(type='CustomDataset', data_root='known', with_label=False)
    config.suites = dict(imagenet=dict(test_dataloader=dict(dataset=known), test_evaluator=CALIBRATION))
    config.test_dataloader.dataset.pipeline = [dict(type='LoadImageFromFile'), *PACK]
    config.dump('mine.py')
    code, printed, results = run('--checkpoint', '1.pth', '--ood', 'far=far', 'gone=nowhere')
    assert code == 0 and 'ood-gone: skipped, because nowhere does not exist' in printed.out
    assert set(results) == {('ood-far', '1')} and results['ood-far', '1']['images'] == 8
    assert set(results['ood-far', '1']['metrics']) == {f'ood/{name}' for name in ('aupr', 'aupr_in', 'auroc', 'fpr95')}


@pytest.mark.parametrize(
    ('arguments', 'sentence'),
    [
        (['--checkpoint', 'none.pth'], 'there is no checkpoint none.pth'),
        (['--checkpoint', '1.pth', '--suites', 'imagenet-x'], "suite 'imagenet-x' is unknown; known: absent, dark"),
        (['--checkpoint', '1.pth', '--ood', '=folder'], '--ood =folder is not NAME=PATH'),
        (['--checkpoint', '../A=1.pth'], '--checkpoint ../A=1.pth is not NAME=PATH'),
        (['--checkpoint', 'A=1.pth', 'A=2.pth'], '--checkpoint has two paths with the name A'),
        (['--checkpoint', 'inside.pth'], 'mmengine does not find the tensors of inside.pth, under model'),
        (
            ['--checkpoint', '1.pth', '--cfg-options', 'suites.half.test_evaluator.type=Accuracy'],
            'suite half needs test_dataloader',
        ),
        (
            ['--checkpoint', '1.pth', '--suites', 'absent'],
            'nothing was tested: absent: skipped, because nowhere does not',
        ),
        (
            ['--checkpoint', '1.pth', '--cfg-options', 'model.backbone.arch.num_layers=3'],
            'tensors are missing, such as',
        ),
    ],
)
def test_invalid_arguments_are_one_sentence(run, arguments, sentence):
    code, printed, results = run(*arguments)
    assert code == 1 and not results
    assert re.fullmatch(rf'robustness: .*{re.escape(sentence)}.*\n', printed.err)


def test_a_failed_suite_does_not_stop_the_others(run):
    broken = ['--cfg-options', 'suites.fog.test_evaluator.type=mixpro_mm.OODMetric']
    code, printed, results = run('--checkpoint', 'A=1.pth', '--suites', 'fog', 'imagenet', *broken)
    assert code == 1 and 'fog of A: failed: OODMetric reads `ood` of each sample' in printed.out
    assert set(results) == {('imagenet', 'A')}


def test_suites_of_imagenet_use_the_pipeline_of_the_config_or_their_own():
    suites = read_config(find_configs() / '_base_' / 'robustness_suites.py').suites
    config = read_config(find_configs() / 'pretrain' / 'deit-small_mixpro_8xb128_in1k.py')
    for name, suite in suites.items():
        own = suite_config(config, name, suite)
        data = own.test_dataloader.dataset
        data = data.get('dataset', data)
        authors = name in ('imagenet-a', 'imagenet-o', 'imagenet-r', 'imagenet-c')
        assert (data.pipeline == config.test_dataloader.dataset.pipeline) != authors
        assert own.test_dataloader.batch_size == config.test_dataloader.batch_size
        assert own.test_cfg.out == 'record.json' and own.model == config.model


TWO = ['--checkpoint', 'A=1.pth', '--suites', 'absent', 'imagenet', 'fog']


@pytest.mark.long
def test_two_processes_measure_the_same(run, tmp_path, two_ranks):
    first, second = two_ranks(__file__)
    assert first['code'] == second['code'] == 0 and second['printed'] == ''
    assert first['printed'].count('absent: skipped') == first['printed'].count('page: two/robustness.md') == 1
    results = json.loads((tmp_path / 'two' / 'robustness.json').read_text())
    assert {each['suite']: each['images'] for each in results} == dict(imagenet=40, fog=160)
    _, _, alone = run(*TWO)
    for each in results:
        assert each['metrics'] == pytest.approx(alone[each['suite'], 'A']['metrics'], abs=1e-3)


def one_rank(rank, folder):
    """Run the command on one of two ranks (gloo; --launcher would take GPUs), and save its code and own output."""
    distributed.init_process_group('gloo', init_method=f'file://{folder}/store', rank=int(rank), world_size=2)
    os.chdir(folder)
    printed = []
    robustness._say.__globals__['print'] = lambda text, flush: printed.append(text)
    code = main(['mine.py', '--work-dir', 'two', *TWO])
    torch.save(dict(code=code, printed='\n'.join(printed)), f'{folder}/rank{rank}.pth')
    distributed.destroy_process_group()


if __name__ == '__main__':
    one_rank(*sys.argv[1:])
