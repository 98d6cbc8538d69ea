import ast
import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmpretrain.models import RandomBatchAugment

from mixpro_mm.augments import MixPro
from mixpro_mm.labeling.hook import LabelingHook
from mixpro_mm.registry import HOOKS
from mixpro_mm.study.plan import read_plan

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / 'configs' / 'digits'
PRETRAIN = sorted(DIGITS.glob('*_digits.py'))
TWINS = sorted(DIGITS.glob('*_mixpro_digit-scenes.py'))


def build(config):
    with DefaultScope.overwrite_default_scope(config.default_scope):
        return MODELS.build(config.model)


def test_every_digits_config_is_covered_here():
    scratch = {path.with_name(path.name.replace('mixpro', 'scratch')) for path in TWINS}
    assert {*PRETRAIN, *TWINS, *scratch, DIGITS / 'study_demo.py', DIGITS / 'study_evidence.py'} == set(
        DIGITS.glob('*.py')
    )


@pytest.mark.parametrize('path', PRETRAIN, ids=lambda path: path.stem)
def test_pretraining_is_half_mixup_half_mixpro_with_labels(path):
    config = Config.fromfile(path)
    model = build(config)
    assert model.data_preprocessor.batch_augments.probs[:2] == [0.5, 0.5]
    assert isinstance(model.data_preprocessor.batch_augments.augments[1], MixPro)
    (hook,) = config.custom_hooks
    assert isinstance(HOOKS.build(hook), LabelingHook)


@pytest.mark.parametrize('path', TWINS, ids=lambda path: path.stem)
def test_from_scratch_differs_in_nothing_but_the_checkpoint(path):
    mixpro = Config.fromfile(path).to_dict()
    scratch = Config.fromfile(path.with_name(path.name.replace('mixpro', 'scratch'))).to_dict()
    init_cfg = mixpro['model']['backbone'].pop('init_cfg')
    assert init_cfg == dict(type='Pretrained', checkpoint=mixpro.pop('checkpoint'), prefix='backbone.')
    assert mixpro.pop('custom_hooks') == [dict(type='mixpro_mm.TransferCheckHook')]
    assert mixpro == scratch


@pytest.mark.parametrize(('task', 'backbone'), [('segmenter', 'deit'), ('mask-rcnn', 'pvt')])
def test_downstream_backbones_take_the_pretrained_keys(task, backbone):
    (pretrain,) = (path for path in PRETRAIN if path.name.startswith(backbone))
    source = build(Config.fromfile(pretrain)).backbone.state_dict()
    target = build(Config.fromfile(DIGITS / f'{task}_{backbone}-micro_scratch_digit-scenes.py')).backbone
    target.load_state_dict(source, strict=True)


def test_downstream_configs_start_from_the_checkpoint_mim_train_leaves_behind():
    for path in TWINS:
        checkpoint = Path(Config.fromfile(path).checkpoint)
        pretrain = Config.fromfile(DIGITS / f'{checkpoint.parent.name}.py')  # work_dirs/<name of the config>
        assert checkpoint.name == f'epoch_{pretrain.train_cfg.max_epochs}.pth'


def test_the_demo_plan_holds_together():
    plan = read_plan(DIGITS / 'study_demo.py')
    rows = {(stage.task, stage.backbone, stage.pretraining) for stage in plan.stages if stage.config}
    assert rows == {
        ('classification', 'DeiT', 'mixpro'),
        ('classification', 'PVT', 'mixpro'),
        ('segmentation', 'DeiT', 'mixpro'),
        ('segmentation', 'DeiT', 'scratch'),
        ('detection', 'PVT', 'mixpro'),
        ('detection', 'PVT', 'scratch'),
    }
    for stage in plan.stages:
        assert bool(stage.checkpoint) == (stage.pretraining == 'mixpro' and stage.task != 'classification')


def readme_blocks():
    return re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(encoding='utf-8'), flags=re.DOTALL)


@pytest.mark.parametrize(('block', 'lines'), [(0, 2), (1, 3)])
def test_the_lines_of_the_readme_work_on_a_stock_config(block, lines, tmp_path):
    code = readme_blocks()[block]
    assert len(code.splitlines()) == len(ast.parse(code).body) == lines
    (tmp_path / 'mine.py').write_text(f"_base_ = 'mmpretrain::deit/deit-small_4xb256_in1k.py'\n{code}")
    config = Config.fromfile(tmp_path / 'mine.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        augment = RandomBatchAugment(**config.model.train_cfg)
        assert isinstance(augment.augments[1], MixPro)
        (hook,) = config.custom_hooks
        assert isinstance(HOOKS.build(hook), LabelingHook)
