"""Every row of the paper's ablations, on ImageNet-1k and on the digits: that it is there, says which row it is, sets
what the row asks for and nothing else, and trains."""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.registry import MODELS, DefaultScope

from mixpro_mm.labeling.hook import LabelingHook
from mixpro_mm.losses import LearnableFactor, LocalContextLoss
from tests import config_rows
from tests.config_rows import (
    AREA,
    BOX,
    CONFIGS,
    HOST_BOX,
    LOSS,
    MIXPRO,
    TRANSMIX,
    augments_of,
    hook_of,
    loader_of,
    only_its_own,
    ours,
    runner_of,
    train,
    write_imagenet,
)

SIZES = dict(tiny='DeiT-T', small='DeiT-S')


PAL_NEAREST = dict(type='ProgressiveAttentionLabeling', downsample='nearest')


def pal(factor):
    return dict(type='ProgressiveAttentionLabeling', factor=factor)


def on_digits(labeling):
    """The digits average the mask over the token in all rows: their results were measured so."""
    if labeling == PAL_NEAREST:
        return 'PAL'
    return 'AttentionLabeling' if labeling == TRANSMIX else labeling


class Row(NamedTuple):
    """One row of a table, or one point of a figure.

    ``method`` is what is mixed in beside Mixup, ``labeling`` that of the hook ('PAL' for a hook without arguments, None
    for no hook); ``digits`` are the settings of the method that fit small images, ``loss`` that of the head.
    """

    table: str
    name: str
    label: str
    numbers: dict
    method: dict | None
    labeling: str | dict | None = None
    digits: dict | None = None
    loss: dict = LOSS
    metric: str = 'top-1'

    def where(self):
        number = self.table.removeprefix('table').removeprefix('figure')
        return f'Table {number}' if self.table.startswith('table') else f'Figure {number[0]} ({number[1]})'


SMALL = dict(patch_size=4, mask_scale=2)  # a quarter of a 32-px image along a side
MASKMIX = dict(MIXPRO, type='mixpro_mm.MaskMix')
GRID = ours('GridMix', alpha=1.0, grid=4)
LOCAL = dict(type='mixpro_mm.LocalContextLoss', loss=LOSS, in_channels=384, num_classes=1000, weight=0.15, grid=4)
LEARNED = dict(type='mixpro_mm.LearnableFactor', loss=LOSS)
RESNET = dict(checkpoint='checkpoints/resnet50-0676ba61.pth')
EXTRACTOR = dict(extractor=..., checkpoint='work_dirs/extractor_resnet-micro_digits/epoch_15.pth', top_k=2, grid=4)
PUZZLE = ours('PuzzleMix', alpha=1.0, blocks=(2, 4, 8, 16))
BLOCKS = ours('BlockMix', alpha=1.0, patch_size=16, min_patches=16)
ATTENTIVE = ours('AttentiveCutMix', extractor='torchvision.resnet50', top_k=6, grid=7, **RESNET)
EMA_TEACHER = dict(patch_size=4, teacher='ema', checkpoint=None, smoothing=None)
TOKENMIX = ours('TokenMix', patch_size=16, teacher='torchvision.resnet50', target='bce', smoothing=0.1, **RESNET)
BCE = dict(LOSS, use_sigmoid=True)


def table2(name, label, number, *args, **kwargs):
    return Row('table2', name, label, dict(small=number), *args, **kwargs)


def table6(name, label, number, *args, **kwargs):
    return Row('table6', name, label, dict(small=number), *args, **kwargs)


def table7(name, label, tiny, small, method, digits=None):
    return Row('table7', name, label, dict(tiny=tiny, small=small), method, None, digits)


def table8(name, label, number, *args, **kwargs):
    return Row('table8', name, label, dict(tiny=number), *args, **kwargs)


def table9(name, label, number, shuffle, digits):
    return Row('table9', name, label, dict(tiny=number), dict(MASKMIX, **shuffle), None, digits)


def table10(name, label, number, *args, **kwargs):
    return Row('table10', name, label, dict(tiny=number), MIXPRO, *args, digits=SMALL, metric='top-1 error', **kwargs)


def figure5(panel, name, label, is_default, method, digits):
    return Row(f'figure5{panel}', name, label, dict(small=81.3 if is_default else None), method, 'PAL', digits)


ROWS = [
    table2('baseline', 'Baseline', 78.6, None),
    table2('gridmix', 'GridMix', 79.5, GRID),
    table2('gridmix-local', 'GridMix', 79.5, GRID, AREA, loss=LOCAL),  # optional
    table2('cutmix', 'CutMix', 79.8, HOST_BOX),
    table2('attentive-cutmix', 'Attentive-CutMix', 77.5, ATTENTIVE, digits=EXTRACTOR),
    table2('saliencymix', 'SaliencyMix', 79.2, ours('SaliencyMix', alpha=1.0)),
    table2('puzzlemix', 'Puzzle-Mix', 79.8, PUZZLE, AREA, dict(blocks=(2, 4, 8))),
    table2('transmix', 'TransMix', 80.7, BOX, TRANSMIX),
    table2(
        'tokenmix',
        'TokenMix',
        80.8,
        TOKENMIX,
        AREA,
        EMA_TEACHER,
        loss=BCE,
    ),
    table2('mixpro', 'MixPro', 81.3, MIXPRO, 'PAL', SMALL),
    table6('cutmix', 'CutMix', 79.8, HOST_BOX),
    table6('cutmix-transmix', 'CutMix + TransMix', 80.7, BOX, TRANSMIX),
    table6('maskmix-transmix', 'MaskMix + TransMix', 81.0, MIXPRO, TRANSMIX, SMALL),
    table6('cutmix-transmix-pal', 'CutMix + TransMix + PAL', 81.1, BOX, PAL_NEAREST),
    table6('maskmix-pal', 'MaskMix + PAL', 81.3, MIXPRO, 'PAL', SMALL),
    table7('region', 'region', 72.2, 79.8, HOST_BOX),
    table7('block', 'block', 72.7, 80.6, BLOCKS, dict(patch_size=4, min_patches=5)),
    table7('random', 'random', 72.7, 80.6, dict(MASKMIX, mask_scale=1), dict(patch_size=4)),
    table7('random-4x', 'random (4x scale)', 73.2, 80.8, MASKMIX, SMALL),
    table8('transmix', 'TransMix', 72.6, BOX, TRANSMIX),
    table8('a-aligned-transmix', 'A', 73.1, dict(BOX, align=16), TRANSMIX, dict(align=4)),
    table8('b-misaligned-maskmix', 'B', 73.1, dict(MIXPRO, offset=8), 'PAL', dict(SMALL, offset=2)),
    table8('c-smaller-units', 'C', 73.4, dict(MIXPRO, unit=0.75), 'PAL', SMALL),
    table8('maskmix', 'MaskMix', 73.8, MIXPRO, 'PAL', SMALL),
    table9('baseline', 'Baseline', 73.2, {}, SMALL),
    table9('pasted', 'Random shuffling on the cropped patches', 69.8, dict(shuffle='pasted'), SMALL),
    table9('canvas', 'Random shuffling on the patches of the canvas image', 69.7, dict(shuffle='canvas'), SMALL),
    table9('both', 'Both', 67.3, dict(shuffle='both'), SMALL),
    table10('equal', 'Equal weight', 27.3, pal('equal')),
    table10('linear', 'Linear increment', 27.1, pal('linear')),
    table10('parabolic', 'Parabolic increment', 26.9, pal('parabolic')),
    table10('learnable', 'Learnable parameter', 27.0, pal('learnable'), loss=LEARNED),
    table10('pal', 'PAL', 26.2, 'PAL'),
    *(
        figure5('a', f'scale-{n}', f'{n}x', n == 4, dict(MIXPRO, mask_scale=n), dict(patch_size=4))
        for n in (1, 2, 4, 7)
    ),
    *(figure5('b', f'beta-{n}', f'beta {n}', n == 1, dict(MIXPRO, alpha=n), SMALL) for n in (0.5, 0.8, 1, 2)),
]
IN1K = {f'{row.table}_deit-{size}_{row.name}_8xb128_in1k': (row, size) for row in ROWS for size in row.numbers}
DIGITS = {f'{row.table}_deit-micro_{row.name}_digits': row for row in ROWS}
CHAIN, PARENT = 'extractor_resnet-micro_digits', 'deit-micro_mixpro_digits'


def path_of(name):
    if name.endswith('in1k'):
        return CONFIGS / ('ablation' if name in IN1K else 'pretrain') / f'{name}.py'
    return CONFIGS / 'digits' / ('' if name == PARENT else 'ablation') / f'{name}.py'


def read(name):
    """A config as it resolves; only to be looked at."""
    return config_rows.read(path_of(name))


def fresh(name):
    """The same, to be changed."""
    return config_rows.fresh(path_of(name))


def header(name):
    return config_rows.header(path_of(name))


def spelled_out(augments):
    """The same with the default of alpha, which the parent of the digits leaves out."""
    return [{'alpha': 1.0, **augment} for augment in augments]


def rest(config):
    """What a config sets besides its mixing, its labels and its loss."""
    config = config.to_dict()
    for key in ('custom_hooks', 'extractor', 'resnet_micro', 'labeling', 'transmix', 'mixpro'):
        config.pop(key, None)
    model = config['model']
    model.pop('train_cfg')
    model['head'].pop('loss')
    config['optim_wrapper']['paramwise_cfg']['custom_keys'].pop('raw_factor', None)
    return config


def test_there_is_a_file_for_every_row_and_a_row_for_every_file():
    parts = ('ablation', 'digits/ablation')
    found = {part: {path.stem for path in (CONFIGS / part).glob('**/*.py')} for part in parts}
    assert found['ablation'] == set(IN1K)
    assert found['digits/ablation'] == {*DIGITS, CHAIN}
    assert len(IN1K) == len(ROWS) + 4  # table 7 has two models
    counts = Counter(row.table for row in ROWS if row.name != 'gridmix-local')  # which is optional
    assert counts == dict(table2=9, table6=5, table7=4, table8=5, table9=4, table10=5, figure5a=4, figure5b=4)


@pytest.mark.parametrize('name', [*IN1K, *DIGITS])
def test_the_header_names_the_row_its_number_and_the_command(name):
    lines = header(name)
    row = DIGITS[name] if name in DIGITS else IN1K[name][0]
    sizes = row.numbers if name in DIGITS else [IN1K[name][1]]
    numbers = {
        size: f'{row.metric} {number}' if number else 'read from a figure, not given in numbers'
        for size, number in row.numbers.items()
    }
    paper = f'{row.where()}, {row.label}, ' + ', '.join(f'{SIZES[size]}: {numbers[size]}' for size in sizes)
    paper += ' (ImageNet-1k)' if name in DIGITS else '; not run here'
    assert f'# Paper:    {paper}' in lines
    path = path_of(name).relative_to(CONFIGS.parent)
    gpus = '' if name in DIGITS else ' --gpus 8 --launcher pytorch'
    assert f'# Run:      mim train onedl-mmpretrain {path}{gpus}' in lines
    assert len(lines[0]) > 30  # its story comes first
    assert not re.match('# (Paper|Run|Needs|Unverified):', lines[0])


def test_the_rows_and_their_numbers_are_those_of_the_paper():
    tables = config_rows.read(CONFIGS / '_base_' / 'paper.py')
    found = {}
    for row in ROWS:
        paper = tables[row.table][row.name.removesuffix('-local')].to_dict()  # one row, two configs
        found.setdefault(row.table, set()).add(row.name.removesuffix('-local'))
        assert paper.pop('name') == row.label
        keys = {'table7': {size: f'deit-{size}' for size in SIZES}}.get(row.table, {})
        number = 'error' if row.metric == 'top-1 error' else 'top1'
        published = {key: paper[key] for key in paper if key not in ('params', 'speed', 'factor')}
        assert published == {keys.get(size, number): value for size, value in row.numbers.items()}
    assert found == {table: set(tables[table]) for table in found}


@pytest.mark.parametrize('name', [*IN1K, *DIGITS])
def test_a_row_sets_what_it_asks_for(name):
    config = read(name)
    small = name in DIGITS
    row = DIGITS[name] if small else IN1K[name][0]
    method, labeling, loss = row.method, on_digits(row.labeling) if small else row.labeling, row.loss
    if small and row.digits:
        method = {key: value for key, value in {**method, **row.digits}.items() if value is not None}
    if small and loss is LOCAL:
        loss = dict(LOCAL, in_channels=64, num_classes=10)
    if loss is BCE:
        loss = dict(BCE, loss_weight=1 / (10 if small else 1000))  # a mean over classes
    if method and method.get('extractor') is ...:
        method = dict(method, extractor=read(CHAIN).resnet_micro.to_dict())
    mixing = config.model.train_cfg.to_dict()
    assert set(mixing) == {'augments', 'probs'}
    assert spelled_out(mixing['augments']) == spelled_out(augments_of(method))
    assert mixing['probs'] == ([1.0] if method is None else [0.5, 0.5])
    average = [dict(type='EMAHook', momentum=0.02)] if method and method.get('teacher') == 'ema' else []
    expected = average + ([] if labeling is None else [hook_of(labeling)])
    assert [hook.to_dict() for hook in config.get('custom_hooks', [])] == expected
    assert config.model.head.loss.to_dict() == loss
    assert ('raw_factor' in config.optim_wrapper.paramwise_cfg.custom_keys) is (loss is LEARNED)


@pytest.mark.parametrize('name', [*IN1K, *DIGITS])
def test_a_row_sets_nothing_else(name):
    parent = PARENT if name in DIGITS else f'deit-{IN1K[name][1]}_mixup-cutmix_8xb128_in1k'
    assert rest(read(name)) == rest(read(parent))


# from here on, rows are trained


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """Two images in the layout of ImageNet, through the whole pipeline of the recipe."""
    root = tmp_path_factory.mktemp('imagenet')
    write_imagenet(root)
    return loader_of(read('deit-small_mixup-cutmix_8xb128_in1k'), 2, data_root=str(root))


@pytest.fixture(scope='module')
def digits():
    return loader_of(read('table2_deit-micro_cutmix_digits'), 4, indices=8)


@pytest.fixture(scope='module')
def extractor(digits, tmp_path_factory):
    """The checkpoint that the extractor of Attentive-CutMix leaves behind, after too short a training."""
    work_dir = tmp_path_factory.mktemp(CHAIN)
    runner = runner_of(read(CHAIN), digits, work_dir)
    runner.train()
    runner.save_checkpoint(str(work_dir), 'epoch_15.pth')
    return work_dir / 'epoch_15.pth'


def distinct():
    """One config for each recipe among the rows: models differ in size only."""
    seen = {}
    for name in IN1K:
        if not path_of(name).exists():
            continue  # the first test says so
        config = read(name)
        seen.setdefault(repr([config.model.train_cfg, config.model.head.loss, config.get('custom_hooks')]), name)
    return list(seen.values())


@pytest.mark.parametrize('name', distinct())
def test_rows_train_on_images_of_imagenet(name, imagenet, tmp_path):
    config = only_its_own(fresh(name))
    config.model.backbone.arch = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=32)
    config.model.head.in_channels = 32
    if 'in_channels' in config.model.head.loss:
        config.model.head.loss.in_channels = 32
    method = config.model.train_cfg.augments[-1]
    if 'checkpoint' in method:
        method.checkpoint = False
    runner = train(config, imagenet, tmp_path, IN1K[name][0].labeling)
    names = {id(parameter): name for name, parameter in runner.model.named_parameters()}
    decays = {
        names[id(parameter)]: group['weight_decay']
        for group in runner.optim_wrapper.param_groups
        for parameter in group['params']
        if id(parameter) in names  # mmengine adds one of its own
    }
    tokens = {'backbone.cls_token', 'backbone.pos_embed'}
    assert {name: decay > 0 for name, decay in decays.items()} == {
        name: parameter.ndim > 1 and name not in tokens for name, parameter in runner.model.named_parameters()
    }
    assert set(decays.values()) == {0.0, 0.05}


def test_the_extractor_leaves_its_checkpoint_where_it_is_looked_for():
    config, checkpoint = read(CHAIN), Path(EXTRACTOR['checkpoint'])
    assert checkpoint.parent == Path('work_dirs') / CHAIN  # where mim train writes
    assert checkpoint.name == f'epoch_{config.train_cfg.max_epochs}.pth'
    assert config.train_cfg.max_epochs % config.default_hooks.checkpoint.interval == 0
    assert f'{CHAIN}.py' in ' '.join(header('table2_deit-micro_attentive-cutmix_digits'))


@pytest.mark.parametrize('name', DIGITS)
def test_rows_train_on_the_digits(name, digits, tmp_path, request):
    row, config = DIGITS[name], only_its_own(fresh(name))
    method = config.model.train_cfg.augments[-1]
    if 'extractor' in method:
        method.checkpoint = str(request.getfixturevalue('extractor'))
    runner = train(config, digits, tmp_path, row.labeling)
    stock = read('table2_deit-micro_cutmix_digits').model.to_dict()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        keys = set(MODELS.build(dict(stock, train_cfg=None)).state_dict())
    extra = {key.rsplit('.', 1)[1] for key in set(runner.model.state_dict()) - keys}  # no teacher, no extractor
    assert extra == {LOCAL['type']: {'weight', 'bias'}, LEARNED['type']: {'raw_factor'}}.get(row.loss['type'], set())
    hooks = [hook for hook in runner.hooks if isinstance(hook, LabelingHook)]
    assert len(hooks) == (row.labeling is not None)
    assert any(isinstance(hook, EMAHook) for hook in runner.hooks) is (method.get('teacher') == 'ema')


def test_the_learned_factor_and_the_local_loss_learn(digits, tmp_path):
    for name, kind, key in (
        ('table10_deit-micro_learnable_digits', LearnableFactor, 'raw_factor'),
        ('table2_deit-micro_gridmix-local_digits', LocalContextLoss, 'classifier.weight'),
    ):
        config = only_its_own(fresh(name))
        config.model.train_cfg.augments[-1].update(alpha=20.0, partner='flip')  # two labels in every image,
        config.model.head.init_cfg = dict(type='TruncNormal', layer='Linear', std=0.1)  # of which one is likelier
        runner = runner_of(config, digits, tmp_path / key)
        loss = runner.model.head.loss_module
        assert isinstance(loss, kind)
        before = loss.get_parameter(key).detach().clone()
        runner.train()
        assert not torch.equal(loss.get_parameter(key), before)
