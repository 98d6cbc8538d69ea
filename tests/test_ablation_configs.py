"""Every row of the paper's ablations, on ImageNet-1k and on the digits: that it is there, says which row it is, sets
what the row asks for and nothing else, and trains."""

import functools
import itertools
import math
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from mixpro_mm.labeling.hook import LabelingHook
from mixpro_mm.losses import LearnableFactor, LocalContextLoss
from mixpro_mm.registry import HOOKS

CONFIGS = Path(__file__).parents[1] / 'configs'
SIZES = dict(tiny='DeiT-T', small='DeiT-S')
ARCHS = dict(tiny=('deit-tiny', 192), small=('deit-small', 384))
LOSS = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
SERIAL = itertools.count()


def ours(name, **settings):
    return dict(type=f'mixpro_mm.{name}', **settings)


def pal(factor):
    return dict(type='ProgressiveAttentionLabeling', factor=factor)


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


BOX, HOST_BOX = ours('RegionMix', alpha=1.0), dict(type='CutMix', alpha=1.0)
MASK = dict(alpha=1.0, patch_size=16, mask_scale=4)
SMALL = dict(patch_size=4, mask_scale=2)  # a quarter of a 32-px image along a side
MASKMIX, MIXPRO = ours('MaskMix', **MASK), ours('MixPro', **MASK)
AREA, TRANSMIX = 'AreaLabeling', 'AttentionLabeling'
GRID = ours('GridMix', alpha=1.0, grid=4)
LOCAL = dict(type='mixpro_mm.LocalContextLoss', loss=LOSS, in_channels=384, num_classes=1000, weight=0.15, grid=4)
LEARNED = dict(type='mixpro_mm.LearnableFactor', loss=LOSS)
RESNET = dict(checkpoint='checkpoints/resnet50-0676ba61.pth')
EXTRACTOR = dict(extractor=..., checkpoint='work_dirs/extractor_resnet-micro_digits/epoch_15.pth', top_k=2, grid=4)
PUZZLE = ours('PuzzleMix', alpha=1.0, blocks=(2, 4, 8, 16))
BLOCKS = ours('BlockMix', alpha=1.0, patch_size=16, min_patches=16)
ATTENTIVE = ours('AttentiveCutMix', extractor='torchvision.resnet50', top_k=6, grid=7, **RESNET)
TOKENMIX = ours('TokenMix', patch_size=16, teacher='torchvision.resnet50', target='bce', **RESNET)
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
    table2('tokenmix', 'TokenMix', 80.8, TOKENMIX, AREA, dict(patch_size=4, teacher='ema', checkpoint=None), loss=BCE),
    table2('mixpro', 'MixPro', 81.3, MIXPRO, 'PAL', SMALL),
    table6('cutmix', 'CutMix', 79.8, HOST_BOX),
    table6('cutmix-transmix', 'CutMix + TransMix', 80.7, BOX, TRANSMIX),
    table6('maskmix-transmix', 'MaskMix + TransMix', 81.0, MIXPRO, TRANSMIX, SMALL),
    table6('cutmix-transmix-pal', 'CutMix + TransMix + PAL', 81.1, BOX, 'PAL'),
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
PRETRAIN = {
    f'deit-{size}_{kind}_8xb128_in1k': (size, method, labeling, f'{SIZES[size]}{extra}: top-1 {number}')
    for kind, method, labeling, extra, numbers in [
        ('mixup-cutmix', HOST_BOX, None, '', dict(tiny=72.2, small=79.8)),
        ('transmix', BOX, TRANSMIX, ' + TransMix', dict(tiny=72.6, small=80.7)),
        ('mixpro', MIXPRO, 'PAL', ' + MixPro', dict(tiny=73.8, small=81.3)),
    ]
    for size, number in numbers.items()
}
RELEASED = 'deit-small-p14_mixpro-released-code_8xb128_in1k'
CHAIN, PARENT = 'extractor_resnet-micro_digits', 'deit-micro_mixpro_digits'


def folder(name):
    if name in PRETRAIN or name == RELEASED:
        return CONFIGS / 'pretrain'
    if name in IN1K:
        return CONFIGS / 'ablation'
    return CONFIGS / 'digits' if name == PARENT else CONFIGS / 'digits' / 'ablation'


FIND = functools.cache(Config._get_cfg_path)  # without it every config reads all metafiles of mmpretrain anew


@functools.cache
def read(name):
    """A config as it resolves; only to be looked at."""
    with mock.patch.object(Config, '_get_cfg_path', FIND):
        return Config.fromfile(folder(name) / f'{name}.py')


def fresh(name):
    """The same, to be changed."""
    return Config(read(name).to_dict())


def header(name):
    lines = (folder(name) / f'{name}.py').read_text(encoding='utf-8').splitlines()
    return list(itertools.takewhile(lambda line: line.startswith('# '), lines))


def hook_of(labeling):
    hook = dict(type='mixpro_mm.LabelingHook')
    return hook if labeling == 'PAL' else dict(hook, labeling=labeling)


def augments_of(method):
    mixup = dict(type='Mixup', alpha=0.8)
    return [mixup] if method is None else [mixup, method]


def spelled_out(augments):
    """The same with the default of alpha, which the parent of the digits leaves out."""
    return [{'alpha': 1.0, **augment} for augment in augments]


def rest(config):
    """What a config sets besides the model it mixes for, its mixing, its labels and its loss."""
    config = config.to_dict()
    for key in ('custom_hooks', 'extractor', 'resnet_micro', 'labeling', 'released', 'smooth', 'hard'):
        config.pop(key, None)
    model = config['model']
    model.pop('train_cfg')
    model['head'].pop('loss')
    config['optim_wrapper']['paramwise_cfg']['custom_keys'].pop('raw_factor', None)
    return config


def test_there_is_a_file_for_every_row_and_a_row_for_every_file():
    parts = ('pretrain', 'ablation', 'digits/ablation')
    found = {part: {path.stem for path in (CONFIGS / part).glob('**/*.py')} for part in parts}
    assert found['ablation'] == set(IN1K)
    assert found['digits/ablation'] == {*DIGITS, CHAIN}
    assert found['pretrain'] == {*PRETRAIN, RELEASED}
    assert len(IN1K) == len(ROWS) + 4  # table 7 has two models
    counts = Counter(row.table for row in ROWS if row.name != 'gridmix-local')  # which is optional
    assert counts == dict(table2=9, table6=5, table7=4, table8=5, table9=4, table10=5, figure5a=4, figure5b=4)


@pytest.mark.parametrize('name', [*IN1K, *DIGITS, *PRETRAIN, RELEASED])
def test_the_header_names_the_row_its_number_and_the_command(name):
    lines = header(name)
    if name in PRETRAIN or name == RELEASED:
        paper = f'Table 1, {PRETRAIN[name][3] if name in PRETRAIN else "DeiT-S + MixPro: top-1 81.3"}; not run here'
    else:
        row = DIGITS[name] if name in DIGITS else IN1K[name][0]
        sizes = row.numbers if name in DIGITS else [IN1K[name][1]]
        numbers = {
            size: f'{row.metric} {number}' if number else 'read from a figure, not given in numbers'
            for size, number in row.numbers.items()
        }
        paper = f'{row.where()}, {row.label}, ' + ', '.join(f'{SIZES[size]}: {numbers[size]}' for size in sizes)
        paper += ' (ImageNet-1k)' if name in DIGITS else '; not run here'
    assert f'# Paper:    {paper}' in lines
    path = (folder(name) / f'{name}.py').relative_to(CONFIGS.parent)
    gpus = '' if name in DIGITS else ' --gpus 8 --launcher pytorch'
    assert f'# Run:      mim train onedl-mmpretrain {path}{gpus}' in lines
    assert len(lines[0]) > 30  # its story comes first
    assert not re.match('# (Paper|Run|Needs|Unverified):', lines[0])


@pytest.mark.parametrize('name', [*IN1K, *DIGITS, *PRETRAIN])
def test_a_row_sets_what_it_asks_for(name):
    config = read(name)
    small = name in DIGITS
    if name in PRETRAIN:
        _, method, labeling, _ = PRETRAIN[name]
        loss = LOSS
    else:
        row = DIGITS[name] if small else IN1K[name][0]
        method, labeling, loss = row.method, row.labeling, row.loss
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


@pytest.mark.parametrize('name', [*IN1K, *DIGITS, *PRETRAIN, RELEASED])
def test_a_row_sets_nothing_else(name):
    config = rest(read(name))
    if name in DIGITS:
        parent = rest(read(PARENT))
    else:
        parent = rest(read('deit-small_mixup-cutmix_8xb128_in1k'))
        size = 'small' if name == RELEASED else (IN1K[name][1] if name in IN1K else PRETRAIN[name][0])
        parent['model']['backbone']['arch'], parent['model']['head']['in_channels'] = ARCHS[size]
        parent['model']['backbone']['patch_size'] = 14 if name == RELEASED else 16
    assert config == parent


def test_the_recipe_is_that_of_table_11():
    config = read('deit-small_mixup-cutmix_8xb128_in1k')
    assert config.model.backbone.to_dict() == dict(
        type='VisionTransformer', arch='deit-small', img_size=224, patch_size=16, drop_path_rate=0.1
    )
    assert config.optim_wrapper.optimizer.type == 'AdamW'
    assert (config.optim_wrapper.optimizer.lr, config.optim_wrapper.optimizer.weight_decay) == (1e-3, 0.05)
    assert tuple(config.optim_wrapper.optimizer.betas) == (0.9, 0.999)
    assert config.optim_wrapper.clip_grad is None
    assert config.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper'
    assert config.train_dataloader.batch_size * 8 == config.auto_scale_lr.base_batch_size == 1024
    assert config.train_cfg.max_epochs == 300
    assert not config.get('custom_hooks')  # no EMA
    assert config.train_dataloader.sampler.type == 'DefaultSampler'  # no repeated augmentation
    assert config.randomness.diff_rank_seed is True
    crop, flip, rand, erase = config.train_dataloader.dataset.pipeline[1:-1]
    assert (crop.type, crop.scale, crop.interpolation, crop.backend) == ('RandomResizedCrop', 224, 'bicubic', 'pillow')
    assert (flip.type, flip.prob, flip.direction) == ('RandomFlip', 0.5, 'horizontal')
    assert (rand.type, rand.policies, rand.num_policies) == ('RandAugment', 'timm_increasing', 2)
    assert (rand.magnitude_level, rand.total_level, rand.magnitude_std) == (9, 10, 0.5)
    assert (erase.type, erase.erase_prob, erase.mode) == ('RandomErasing', 0.25, 'rand')
    for loader in (config.val_dataloader, config.test_dataloader):
        resize, centre = loader.dataset.pipeline[1:-1]
        assert (resize.type, resize.scale, resize.edge, resize.interpolation) == ('ResizeEdge', 256, 'short', 'bicubic')
        assert (centre.type, centre.crop_size) == ('CenterCrop', 224)
        assert loader.dataset.split == 'val'
    assert config.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert config.data_preprocessor.std == [58.395, 57.12, 57.375]
    assert config.data_preprocessor.to_rgb is True


@pytest.mark.parametrize(('size', 'count'), [('tiny', 5_717_416), ('small', 22_050_664)])
def test_the_models_have_the_parameters_of_table_1(size, count):
    config = read(f'deit-{size}_mixpro_8xb128_in1k')
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.device('meta'):
        model = MODELS.build({**config.model.to_dict(), 'init_cfg': None, 'train_cfg': None})
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    last = model.backbone.layers[-1]
    assert last.attn.out_drop.drop_prob == last.ffn.dropout_layer.drop_prob == pytest.approx(0.1)


def test_the_released_code_is_the_whole_right_column():
    config = read(RELEASED)
    assert config.model.backbone.patch_size == 14
    method = ours('MixPro', alpha=1.0, patch_size=14, mask_scale=4, rounding='ceil', partner='flip', ratio='sample')
    mixing = config.model.train_cfg.to_dict()
    assert mixing == dict(augments=[*augments_of(HOST_BOX), method], probs=[0.25, 0.25, 0.5])
    (hook,) = config.custom_hooks
    labeling = HOOKS.build(hook).labeling
    assert (labeling.detach, labeling.smooth_target, labeling.label_smooth_val) == (False, True, 0.1)
    assert labeling.strategy == 'cosine'
    hard = dict(type='CrossEntropyLoss', use_soft=True)
    assert config.model.head.loss.to_dict() == ours('BranchLoss', loss=LOSS, labelled=hard)


# from here on, rows are trained


class Stop(Hook):
    """Ends training after one epoch, whatever the schedule has in mind, and keeps the losses."""

    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = True


def runner_of(config, loader, work_dir):
    """The Runner of a config over few images, with its own model, optimizer, schedule and hooks."""
    hooks = dict(config.get('default_hooks', {}), checkpoint=None)
    return Runner(
        model=config.model,
        data_preprocessor=config.data_preprocessor,
        work_dir=str(work_dir),
        train_dataloader=loader,
        train_cfg=config.train_cfg,
        optim_wrapper=config.optim_wrapper,
        param_scheduler=config.param_scheduler,
        default_hooks=hooks,
        custom_hooks=[*config.get('custom_hooks', []), Stop()],
        default_scope=config.default_scope,
        randomness=dict(seed=0),
        experiment_name=f'ablation-{next(SERIAL)}',
    )


def loader_of(config, batch_size, **dataset):
    """The training images and transforms of a config, in this process."""
    loader = dict(config.train_dataloader.to_dict(), batch_size=batch_size, num_workers=0)
    loader['dataset'].update(dataset)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Runner.build_dataloader(loader)


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """Two images in the layout of ImageNet, through the whole pipeline of the recipe."""
    root = tmp_path_factory.mktemp('imagenet')
    (root / 'meta').mkdir()
    (root / 'train').mkdir()
    generator = np.random.default_rng(0)
    for n in range(2):
        blots = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(root / 'train' / f'{n}.jpg'), cv2.resize(blots, (320, 240), interpolation=cv2.INTER_CUBIC))
    (root / 'meta' / 'train.txt').write_text('0.jpg 7\n1.jpg 931\n')
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


def only_its_own(config):
    """Mixup never; the last method of the list, always."""
    mixing = config.model.train_cfg
    mixing.probs = [0.0] * (len(mixing.augments) - 1) + [1.0]
    return config


def train(config, loader, work_dir, labeling):
    """Train one epoch and check what every row must show; returns the runner."""
    runner = runner_of(config, loader, work_dir)
    runner.train()
    (stop,) = (hook for hook in runner.hooks if isinstance(hook, Stop))
    assert len(stop.losses) == len(loader)
    assert all(math.isfinite(loss) and loss > 0 for loss in stop.losses)
    scalars = runner.message_hub.log_scalars
    logged = {name for name in ('factor', 'lam_attn', 'lam_area') if f'train/{name}' in scalars}
    wanted = {None: set(), AREA: {'lam_area'}}.get(labeling if isinstance(labeling, str | None) else 'PAL')
    assert logged == ({'factor', 'lam_attn', 'lam_area'} if wanted is None else wanted)
    assert all(0 <= scalars[f'train/{name}'].current() <= 1 for name in logged)
    return runner


def distinct():
    """One config for each recipe among the rows: models differ in size only."""
    seen = {}
    for name in [*PRETRAIN, RELEASED, *IN1K]:
        if not (folder(name) / f'{name}.py').exists():
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
    labeling = 'PAL' if name == RELEASED else (PRETRAIN[name][2] if name in PRETRAIN else IN1K[name][0].labeling)
    runner = train(config, imagenet, tmp_path, labeling)
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


def test_the_schedule_climbs_from_1e_6_and_falls_to_1e_5(imagenet, tmp_path):
    config = fresh('deit-tiny_mixup-cutmix_8xb128_in1k')
    config.model.backbone.arch = dict(embed_dims=8, num_layers=1, num_heads=1, feedforward_channels=8)
    config.model.head.in_channels = 8
    runner = runner_of(config, imagenet, tmp_path)
    runner._train_loop = runner.build_train_loop(config.train_cfg)
    runner.optim_wrapper = runner.build_optim_wrapper(config.optim_wrapper)
    schedule = runner.build_param_scheduler(config.param_scheduler)
    rates = []
    for _ in range(300):  # epochs of one iteration
        rates.append(runner.optim_wrapper.param_groups[0]['lr'])
        runner.optim_wrapper.step()
        for scheduler in schedule:
            scheduler.step()
    assert rates[0] == pytest.approx(1e-6)
    assert max(rates) == pytest.approx(1e-3)
    assert rates.index(max(rates)) in (19, 20)
    assert rates[160] == pytest.approx((1e-3 + 1e-5) / 2, rel=0.02)  # half way down
    assert rates[-1] == pytest.approx(1e-5, rel=0.02)


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
