"""Ablation configs: rows on embedded data equal those on ImageNet-1k, and every method trains."""

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mixpro_mm.study.plan import read_plan
from tests.config_rows import CONFIGS, fresh, imagenet, loader_of, read, train

PAPER = read(CONFIGS / '_base_' / 'paper.py')
PLAN = read_plan(CONFIGS / 'digits' / 'study_ablation.py')
STAGES = read_plan(CONFIGS / 'fashion' / 'study_fashion_ablation.py').stages
FASHION = {stage.pretraining: stage for stage in STAGES if stage.cells}
METHODS = {stage.pretraining: stage for stage in STAGES if stage.name.startswith('method_')}
DIGITS = {stage.name: stage for stage in PLAN.stages if stage.config and not stage.name.startswith('other_')}
PARENT = CONFIGS / 'digits' / 'deit-micro_mixpro_digits.py'
TABLES = ('table2', 'table6', 'table7', 'table8', 'table9', 'table10', 'figure5a', 'figure5b')
LOCAL = 'table2_gridmix-local'  # optional variant of a row
OF_SIZE = ('patch_size', 'mask_scale', 'align', 'offset', 'blocks', 'min_patches', 'grid', 'top_k', 'extractor',
           'checkpoint', 'teacher', 'smoothing', 'in_channels', 'num_classes', 'loss_weight', 'downsample')  # fmt: skip


def on_imagenet(name):
    stage = DIGITS[name]
    if name == LOCAL:
        return read(CONFIGS / 'ablation' / 'table2_deit-small_gridmix-local_8xb128_in1k.py')
    table, row, column = stage.cells[0]
    return read(CONFIGS / PAPER.cells[table, row, dict(table7='deit-small').get(table, column)])


def stripped(value):
    """Return a config without the settings that depend on the image size."""
    if isinstance(value, dict):
        return {key: stripped(item) for key, item in value.items() if key not in OF_SIZE}
    return [stripped(item) for item in value] if isinstance(value, list | tuple) else value


def recipe(config):
    """Return augments, labelings and losses of a config."""
    hooks = [hook for hook in config.get('custom_hooks', []) if 'Labeling' in hook.type]
    rules = [stripped(hook.get('labeling', 'ProgressiveAttentionLabeling')) for hook in hooks]
    return dict(
        mixing=[dict(alpha=1.0) | stripped(augment.to_dict()) for augment in config.model.train_cfg.augments],
        probs=config.model.train_cfg.probs,
        loss=stripped(config.model.head.loss.to_dict()),
        labelings=[rule if isinstance(rule, str) or len(rule) > 1 else rule['type'] for rule in rules],
    )


def test_study_has_every_row_once():
    stages = [stage for name, stage in DIGITS.items() if name != LOCAL]
    columns = dict(table7='deit-micro', table10='error')
    assert sorted(cell for stage in stages for cell in stage.cells) == sorted(
        (table, row, columns.get(table, 'top1')) for table in TABLES for row in PAPER[table]
    )
    kinds = {(stage.data, stage.backbone, stage.task) for stage in stages}
    assert kinds == {('digits', 'DeiT-micro', 'classification')}


@pytest.mark.parametrize('name', FASHION)
def test_rows_on_fashion_equal_rows_on_digits(name):
    assert recipe(FASHION[name].settings) == recipe(DIGITS[name].settings)


@pytest.mark.parametrize('name', DIGITS)
def test_rows_on_digits_equal_rows_on_imagenet(name):
    assert recipe(fresh(PARENT, DIGITS[name].cfg_options)) == recipe(on_imagenet(name))


def distinct():
    """Return one row per method, labeling and loss, except those of Table 1 (test_pretrain_configs.py)."""
    seen = {}
    for name in DIGITS:
        config = on_imagenet(name)
        method, hooks = config.model.train_cfg.augments[-1], config.get('custom_hooks', [])
        key = method.type, method.get('unit'), method.get('shuffle'), hooks, config.model.head.loss.type
        seen.setdefault(repr(key), name)
    return [name for name in seen.values() if 'ablation' in str(on_imagenet(name).filename)]


@pytest.mark.parametrize('name', distinct())
def test_every_method_trains_on_images_of_imagenet(name, tmp_path):
    config = Config(on_imagenet(name).to_dict())
    config.model.backbone.arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=32)
    config.model.head.in_channels = 32
    if 'in_channels' in config.model.head.loss:
        config.model.head.loss.in_channels = 32
    method = config.model.train_cfg.augments[-1]
    if 'checkpoint' in method:
        method.checkpoint = False
    runner = train(config, imagenet(tmp_path), tmp_path)
    groups = runner.optim_wrapper.param_groups
    decays = {id(parameter): group['weight_decay'] for group in groups for parameter in group['params']}
    tokens = {'backbone.cls_token', 'backbone.pos_embed'}
    for key, parameter in runner.model.named_parameters():  # includes parameters of the loss
        assert decays[id(parameter)] == (0.05 if parameter.ndim > 1 and key not in tokens else 0.0), key


@pytest.mark.parametrize('name', METHODS)
def test_methods_of_the_related_work_train(name, tmp_path):
    train(METHODS[name].settings, loader_of(read(PARENT), 4, indices=8), tmp_path)


def test_attentive_cutmix_uses_the_extractor_of_the_study(tmp_path):
    extractor = read(CONFIGS / 'digits' / 'extractor_resnet-micro_digits.py')
    config = fresh(PARENT, DIGITS['table2_attentive-cutmix'].cfg_options)
    digits, method = loader_of(read(PARENT), 4, indices=8), config.model.train_cfg.augments[-1]
    (stage,) = (stage for stage in PLAN.stages if stage.command)
    assert DIGITS['table2_attentive-cutmix'].needs == (stage.name,) and stage.creates == method.checkpoint
    assert method.checkpoint == f'{stage.command[-3]}/epoch_{extractor.train_cfg.max_epochs}.pth'
    train(extractor, digits, tmp_path / 'cnn').save_checkpoint(str(tmp_path), 'epoch_15.pth')
    method.checkpoint = str(tmp_path / 'epoch_15.pth')
    runner = train(config, digits, tmp_path)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        plain = MODELS.build(dict(read(PARENT).model.to_dict(), train_cfg=None))
    assert runner.model.state_dict().keys() == plain.state_dict().keys()  # without the extractor
