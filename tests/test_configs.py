"""All configs: their resolved values against a record, headers against the paper, the lines of the README."""

import ast
import inspect
import json
import os
import re
from pathlib import Path

import mmseg
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.models import RandomBatchAugment

from mixpro_mm.augments import MixPro
from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.registry import HOOKS
from mixpro_mm.study.plan import read_plan
from tests.config_rows import CONFIGS, flat, header, read

ROOT = CONFIGS.parent
VALUES = Path(__file__).with_name('config_values.json')  # renewed by WRITE_CONFIG_VALUES=1 pytest tests/test_configs.py
PAPER = read(CONFIGS / '_base_' / 'paper.py')
ALL = {
    path.relative_to(CONFIGS).with_suffix('').as_posix(): path
    for path in sorted(CONFIGS.rglob('*.py'))
    if '_base_' not in path.parts and 'study' not in path.as_posix().removeprefix(CONFIGS.as_posix())
}
DOWNSTREAM = ('table3', 'table4', 'table5')
OF_HOSTS = {'detection/mask-rcnn_r50_1x_coco', 'detection/mask-rcnn_r101_1x_coco'}
OF_HOSTS |= {'segmentation/deeplabv3plus_r101_4xb4-40k_pascal-context-480x480'}
PARENTS = {
    'pretrain/deit-small_mixup-cutmix_8xb128_in1k': r'(pretrain|ablation|robustness)/(?!.*micro).*',
    'segmentation/linear_deit-small_mixpro_4xb4-80k_pascal-context-480x480': r'segmentation/.*',
    'detection/mask-rcnn_pvt-small_mixpro_1x_coco': r'detection/.*',
    'digits/deit-micro_mixpro_digits': r'(digits|fashion|robustness)/(?!.*scenes).*micro.*',
    'digits/segmenter_deit-micro_scratch_digit-scenes': r'(digits|fashion)/.*(segmenter|linear).*',
    'digits/mask-rcnn_pvt-micro_scratch_digit-scenes': r'(digits|fashion)/.*mask-rcnn.*',
}
# what a Runner and the scripts of the toolkits read; other names are helpers of a config file
RUN = {*inspect.signature(Runner).parameters, 'auto_scale_lr', 'sync_bn', 'tta_model', 'tta_pipeline'}


def parent_of(name):
    """Return the config to compare with: the baseline of its model on ImageNet-1k, else the first of its family."""
    model = next((model for model in PAPER.table1 if f'{model}_' in name or f'{model}-p14' in name), None)
    baseline = f'pretrain/{model}_mixup-cutmix_8xb128_in1k'
    if name.startswith(('pretrain', 'ablation', 'robustness')) and model and name != baseline:
        return baseline
    return next(parent for parent, family in PARENTS.items() if re.fullmatch(family, name))


def resolved(name):
    config = read(ALL[name]).to_dict()
    return {key: config[key] for key in sorted(RUN & config.keys())}


def recorded(name):
    """Return all values of a parent; of another config, those in which it differs from its parent."""
    if name in PARENTS:
        return json.loads(json.dumps(resolved(name)))
    own, base = flat(resolved(name)), flat(resolved(parent_of(name)))
    return {key: own.get(key, 'absent') for key in sorted(own | base) if own.get(key) != base.get(key)}


def write():
    """Write a line for each config, and for each value of a parent."""
    lines = []
    for name in sorted(set(ALL) - OF_HOSTS):
        values = [f'{json.dumps(key)}: {json.dumps(value)}' for key, value in recorded(name).items()]
        start, between = ('\n  ', ',\n  ') if name in PARENTS else ('', ', ')
        lines.append(f'{json.dumps(name)}: {{{start}{between.join(values)}}}')
    VALUES.write_text('{\n' + ',\n'.join(lines) + '\n}\n', encoding='utf-8')


def test_resolved_values_are_those_recorded():
    if 'WRITE_CONFIG_VALUES' in os.environ:
        write()
    wanted = json.loads(VALUES.read_text(encoding='utf-8'))
    assert {name: recorded(name) for name in sorted(set(ALL) - OF_HOSTS)} == wanted


def published(table, row, column):
    """Return the name of a row or method, and the numbers of its header."""
    methods = dict(baseline='', transmix='TransMix', mixpro='MixPro')
    numbers = PAPER[table].get('deit-small' if table == 'table5' else row.split('/')[0])
    if table == 'table1':
        return [numbers.name, methods[column]], [numbers[column]]
    if table in DOWNSTREAM:
        chosen = dict(table3=(0, 1), table4=(0, 3), table5=(3,) if column else (0, 1, 2))[table]
        return [methods[row.split('/')[-1]]], [numbers[row.split('/')[-1]][n] for n in chosen]
    return [numbers.name], [numbers.get('error', numbers.get('top1', numbers.get(column)))]


def claims(name):
    """Yield table, names and numbers of the rows of the paper that a config reproduces."""
    for cell, config in PAPER.cells.items():
        table = cell[0]
        if config == f'{name}.py' and (f'/{table}_' in config or table in ('table1', *DOWNSTREAM)):
            where = f'Table {table[5:]}' if table.startswith('table') else f'Figure {table[6]} ({table[7]})'
            yield where, *published(*cell)


OTHERS = {  # claims of configs that are no row of their own
    'ablation/table2_deit-small_gridmix-local_8xb128_in1k': ('Table 2', ['GridMix', 'DeiT-S'], [79.5]),
    'pretrain/deit-small-p14_mixpro-released-code_8xb128_in1k': ('Table 1', ['DeiT-S + MixPro'], [81.3]),
    'robustness/deit-small_occlusion_in1k': ('Figure 3', ['curves only'], []),
    'detection/mask-rcnn_pvt-small_official_1x_coco': ('Table 4', ['PVT-S'], [40.4, 37.8]),
}


@pytest.mark.parametrize('name', ALL)
def test_the_header_names_the_row_its_numbers_and_the_command(name):
    lines, config = header(ALL[name]), read(ALL[name])
    paper = [line for line in lines if line.startswith('# Paper:')]
    expected = list(claims(name)) or [claim for other, claim in OTHERS.items() if other == name]
    if expected or 'micro' in name:
        for line, (where, names, numbers) in zip(paper, expected, strict=True):
            assert line.startswith(f'# Paper:    {where}, ') and line.endswith('; not run here')
            found = re.findall(r'(?<![-.\d])\d+(?:\.\d+)?', line.partition(where)[2].rpartition(': ')[2])
            assert all(part in line for part in names)
            assert [float(number) for number in found] == [number for number in numbers if number is not None]
    else:  # 'no row of Table 3', 'not in the paper'
        assert len(paper) == 1 and re.match('# Paper:    (no row of Table 3|not in the paper)', paper[0])
    toolkit = dict(mmpretrain='mmpretrain', mmseg='mmsegmentation', mmdet='mmdetection')[config.default_scope]
    verb = 'test' if name.startswith('robustness') else 'train'
    number = 4 if toolkit == 'mmsegmentation' and 'ade20k' not in name else 8
    gpus = '' if 'micro' in name else f' --gpus {number} --launcher pytorch'
    command = f'# Run:      mim {verb} onedl-{toolkit} configs/{name}.py'
    if '_robustness_' in name:
        command = f'# Run:      python tools/robustness.py configs/{name}.py'
    (run,) = (line for line in lines if line.startswith('# Run:'))
    assert run.startswith(f'{command} --checkpoint work_dirs/') if verb == 'test' else run == command + gpus
    options = re.findall(r'--cfg-options (\S+?)=', ' '.join(lines))
    assert set(options) <= flat(config.to_dict()).keys()
    assert len(lines[0]) > 30 and not re.match('# (Paper|Run|Needs|Data|Unverified)', lines[0])  # its story comes first
    for checkpoint in re.findall(r'work_dirs/(\S+)/epoch_(\d+)\.pth', f'{run} {config.model.get("backbone")}'):
        (pretrain,) = (other for other in ALL if other.endswith(f'/{checkpoint[0]}'))  # as mim train leaves it
        assert str(read(ALL[pretrain]).train_cfg.max_epochs) == checkpoint[1]
        if verb == 'train':
            assert pretrain.split('/')[-1] in ' '.join(line for line in lines if line.startswith('# Needs:'))


def test_every_row_of_the_paper_has_its_config_and_no_config_is_only_another():
    tables = {name: set(PAPER[name]) for name in PAPER if name.startswith(('table', 'figure')) and name != 'table5'}
    for table in ('table3', 'table4'):
        tables[table] = {f'{model}/{method}' for model in PAPER[table] for method in PAPER[table][model]}
    for table, rows in tables.items():
        assert {row for found, row, _ in PAPER.cells if found == table} == rows
    assert {config.removesuffix('.py') for config in PAPER.cells.values()} <= set(ALL)
    aliases = [name for name in ALL if len(ast.parse(ALL[name].read_text(encoding='utf-8')).body) == 1]
    assert aliases == ['pretrain/deit-small_mixup-cutmix_8xb128_in1k']
    top1 = {}
    for (table, row, column), config in PAPER.cells.items():  # one training has one number
        if table not in DOWNSTREAM and (number := published(table, row, column)[1][0]) is not None:
            top1.setdefault(config, set()).add(round(100 - number, 1) if column == 'error' else number)
    assert {config: numbers for config, numbers in top1.items() if len(numbers) > 1} == {}


def test_the_rows_of_hosts_are_the_configs_of_the_hosts():
    for resnet in ('r50', 'r101'):
        config = read(ALL[f'detection/mask-rcnn_{resnet}_1x_coco'])
        assert config.optim_wrapper.optimizer.to_dict() == dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
        assert config.model.backbone.depth == int(resnet[1:])
        for key in ('param_scheduler', 'train_cfg', 'train_dataloader', 'val_dataloader', 'val_evaluator'):
            assert flat(config[key]) == flat(read(ALL['detection/mask-rcnn_pvt-small_mixpro_1x_coco'])[key])
    config = read(ALL['segmentation/deeplabv3plus_r101_4xb4-40k_pascal-context-480x480']).to_dict()
    stock = 'deeplabv3plus/deeplabv3plus_r101-d8_4xb4-40k_pascal-context-480x480.py'
    stock = Config.fromfile(Path(mmseg.__file__).parent / '.mim' / 'configs' / stock).to_dict()
    resize = config.pop('tta_pipeline')[1]['transforms'][0]
    assert [step['scale'] for step in resize] == [(int(520 * r), int(520 * r)) for r in config.pop('ratios')]
    assert config['default_hooks']['checkpoint'].pop('max_keep_ckpts') == 2
    assert config == stock and stock['model']['decode_head']['num_classes'] == 60


def test_the_plan_of_the_demo():
    stages = [stage for stage in read_plan(CONFIGS / 'digits' / 'study_demo.py').stages if stage.config]
    assert {(stage.task, stage.backbone, stage.pretraining, stage.checkpoint) for stage in stages} == {
        ('classification', 'DeiT', 'mixpro', None), ('classification', 'PVT', 'mixpro', None),
        ('segmentation', 'DeiT', 'mixpro', 'deit_mixpro'), ('segmentation', 'DeiT', 'scratch', None),
        ('detection', 'PVT', 'mixpro', 'pvt_mixpro'), ('detection', 'PVT', 'scratch', None),
    }  # fmt: skip


def test_the_lines_of_the_readme_work_on_a_stock_config(tmp_path):
    readme = (ROOT / 'README.md').read_text(encoding='utf-8')
    code = re.search(r'```python\n(.*?)```', readme, flags=re.DOTALL)[1]
    assert len(code.splitlines()) == len(ast.parse(code).body) == 2
    (tmp_path / 'mine.py').write_text(f"_base_ = 'mmpretrain::deit/deit-small_4xb256_in1k.py'\n{code}")
    config = Config.fromfile(tmp_path / 'mine.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        assert isinstance(RandomBatchAugment(**config.model.train_cfg).augments[1], MixPro)
        (hook,) = config.custom_hooks
        assert isinstance(HOOKS.build(hook), LabelingHook)
