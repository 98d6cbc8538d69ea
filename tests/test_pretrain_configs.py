"""The ImageNet-1k recipes of the models of Table 1: that each is there, is what the paper and the authors of its model
say, and trains. The values stand here once more, by hand."""

import functools
import math
import re
from collections import Counter, defaultdict
from typing import NamedTuple
from unittest import mock

import pytest
import timm
import torch
from mmengine.model.utils import convert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from timm.scheduler import CosineLRScheduler
from torch import nn

from mixpro_mm.registry import HOOKS
from tests import config_rows
from tests.config_rows import (
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

PYRAMID = ours('MixPro', alpha=1.0, patch_size=32, mask_scale=1)
KINDS = {  # file -> column of paper.py, words in the header, labels
    'mixup-cutmix': ('baseline', '', None),
    'transmix': ('transmix', ' + TransMix', TRANSMIX),
    'mixpro': ('mixpro', ' + MixPro', 'PAL'),
}


class Model(NamedTuple):
    """What is particular to a model: parameters, what its class is built with, and its part of the recipe.

    ``blocks`` are those with drop path; ``even`` if all of them have the same rate, which else rises from 0.
    """

    params: int
    args: dict
    drop_path: float
    blocks: int
    even: bool = False
    epochs: int = 300
    clip: float | None = None


def deit(params, size, dims):
    return Model(params, dict(type='VisionTransformer', arch=f'deit-{size}', patch_size=16, in_channels=dims), 0.1, 12)


def pvt(params, size, drop_path, blocks, clip=None):
    return Model(params, dict(ours('PVT', arch=size), in_channels=512), drop_path, blocks, clip=clip)


def xcit(params, dims, depth, heads, scale, drop_path):
    args = dict(type='XCiT', patch_size=16, embed_dims=dims, depth=depth, num_heads=heads, mlp_ratio=4, qkv_bias=True)
    args |= dict(layer_scale_init_value=scale, tokens_norm=True, out_type='cls_token', in_channels=dims)
    return Model(params, args, drop_path, depth, even=True, epochs=400)


def ca_swin(params, size, drop_path, blocks):
    return Model(params, dict(ours('CASwin', arch=size), in_channels=768), drop_path, blocks, clip=5.0)


MODEL = {
    'deit-tiny': deit(5_717_416, 'tiny', 192),
    'deit-small': deit(22_050_664, 'small', 384),
    'deit-base': deit(86_567_656, 'base', 768),
    'pvt-tiny': pvt(13_229_288, 'tiny', 0.1, 2 + 2 + 2 + 2),
    'pvt-small': pvt(24_485_864, 'small', 0.1, 3 + 4 + 6 + 3),
    'pvt-medium': pvt(44_208_104, 'medium', 0.3, 3 + 4 + 18 + 3, clip=1.0),
    'pvt-large': pvt(61_369_320, 'large', 0.3, 3 + 8 + 27 + 3, clip=1.0),
    'cait-xxs36': Model(17_299_720, dict(type='TimmClassifier'), 0.1, 36, even=True, epochs=400),
    'xcit-tiny-24-p16': xcit(12_116_896, 192, 24, 4, 1e-5, 0.05),
    'xcit-small-12-p16': xcit(26_253_304, 384, 12, 8, 1.0, 0.05),
    'xcit-medium-24-p16': xcit(84_395_752, 512, 24, 8, 1e-5, 0.15),
    'xcit-large-24-p16': xcit(189_096_136, 768, 24, 16, 1e-5, 0.25),
    # Swin's 28,288,354 and 49,606,258, less its last table of positions (13 x 13 x 24), plus a class token (768)
    'ca-swin-tiny': ca_swin(28_285_066, 'tiny', 0.2, 2 + 2 + 6 + 2),
    'ca-swin-small': ca_swin(49_602_970, 'small', 0.3, 2 + 2 + 18 + 2),
}
UNDECAYED = {  # besides parameters of one dimension, by the code of the authors of each
    'deit': {'cls_token', 'pos_embed'},
    'pvt': {'cls_token'},
    'cait': {'cls_token', 'pos_embed'},
    'xcit': {'cls_token'},  # its position embedding is a convolution; the temperatures of its attention decay too
    'ca': {'cls_token', 'relative_position_bias_table'},
}
FILES = {f'{model}_{kind}_8xb128_in1k': (model, kind) for model in MODEL for kind in KINDS}
RELEASED = 'deit-small-p14_mixpro-released-code_8xb128_in1k'
TABLE_1 = config_rows.read(CONFIGS / '_base_' / 'paper.py').table1


def path_of(name):
    return CONFIGS / 'pretrain' / f'{name}.py'


def read(name):
    """A config as it resolves; only to be looked at."""
    return config_rows.read(path_of(name))


def file_of(model, kind='mixup-cutmix'):
    return f'{model}_{kind}_8xb128_in1k'


def family(model):
    return model.split('-')[0]


def method_of(model, kind):
    if kind == 'mixpro':
        return PYRAMID if family(model) in ('pvt', 'ca') else MIXPRO
    return {'mixup-cutmix': HOST_BOX, 'transmix': BOX}[kind]


def drop_path_of(config):
    return config.model.get('backbone', config.model).drop_path_rate


def loss_of(config):
    return config.model.get('head', config.model).loss


@functools.cache
def built(model):
    """The model of Table 1, in full size, without memory."""
    linspace = functools.partial(torch.linspace, device='cpu')  # Swin takes single numbers out of it
    settings = {**read(file_of(model)).model.to_dict(), 'train_cfg': None}
    with (
        DefaultScope.overwrite_default_scope('mmpretrain'),
        torch.device('meta'),
        mock.patch.object(torch, 'linspace', linspace),
    ):
        return MODELS.build(settings)


def test_there_is_a_file_for_every_row_and_a_row_for_every_file():
    assert {path.stem for path in (CONFIGS / 'pretrain').glob('**/*.py')} == {*FILES, RELEASED}
    assert set(MODEL) == set(TABLE_1)
    assert len(FILES) == 42


@pytest.mark.parametrize('name', [*FILES, RELEASED])
def test_the_header_names_the_row_its_number_and_the_command(name):
    lines = config_rows.header(path_of(name))
    model, kind = FILES.get(name, ('deit-small', 'mixpro'))
    column, words, _ = KINDS[kind]
    row = TABLE_1[model]
    assert f'# Paper:    Table 1, {row["name"]}{words}: top-1 {row[column]}; not run here' in lines
    command = f'mim train onedl-mmpretrain configs/pretrain/{name}.py --gpus 8 --launcher pytorch'
    assert f'# Run:      {command}' in lines
    assert ('# Needs:    timm (pip install timm)' in lines) is (family(model) == 'cait')
    assert lines[0].startswith(f'# {row["name"]} ') and len(lines[0]) > 50  # its story comes first
    assert not re.match('# (Paper|Run|Needs|Unverified):', lines[0])


def test_values_nobody_could_check_are_marked():
    marked = {name for name in FILES if any('Unverified' in line for line in config_rows.header(path_of(name)))}
    assert marked == {file_of(f'xcit-{size}-24-p16') for size in ('tiny', 'medium', 'large')}
    for base, words in dict(mixpro_p16='that CaiT and XCiT take', mixpro_pyramid='the paper gives no value').items():
        assert f'# Unverified: {words}' in '\n'.join(config_rows.header(CONFIGS / '_base_' / f'{base}.py'))


@pytest.mark.parametrize('name', FILES)
def test_the_recipe_is_that_of_table_11(name):
    (model, kind), config = FILES[name], read(name)
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 1e-3, 0.05)
    assert (tuple(optimizer.betas), optimizer.eps) == ((0.9, 0.999), 1e-8)
    assert config.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper'
    assert config.train_dataloader.batch_size * 8 == config.auto_scale_lr.base_batch_size == 1024
    assert config.train_cfg.to_dict() == dict(by_epoch=True, max_epochs=MODEL[model].epochs, val_interval=1)
    assert config.train_dataloader.sampler.type == 'DefaultSampler'  # no repeated augmentation
    assert config.randomness.diff_rank_seed is True
    assert loss_of(config).to_dict() == LOSS
    assert config.model.train_cfg.to_dict() == dict(augments=augments_of(method_of(model, kind)), probs=[0.5, 0.5])
    labeling = KINDS[kind][2]
    expected = [] if labeling is None else [hook_of(labeling)]  # and no EMA
    assert [hook.to_dict() for hook in config.get('custom_hooks', [])] == expected


@pytest.mark.parametrize('model', MODEL)
def test_images_are_cut_and_changed_as_the_recipe_says(model):
    config = read(file_of(model))
    loaders = (config.train_dataloader, config.val_dataloader, config.test_dataloader)
    assert {loader.dataset.type for loader in loaders} == {'mixpro_mm.ImageNet1k'}
    assert {loader.dataset.data_root for loader in loaders} == {'data/imagenet'}
    assert [loader.dataset.split for loader in loaders] == ['train', 'val', 'val']
    crop, flip, rand, erase = config.train_dataloader.dataset.pipeline[1:-1]
    assert (crop.type, crop.scale, crop.interpolation, crop.backend) == ('RandomResizedCrop', 224, 'bicubic', 'pillow')
    assert (flip.type, flip.prob, flip.direction) == ('RandomFlip', 0.5, 'horizontal')
    assert (rand.type, rand.policies, rand.num_policies) == ('RandAugment', 'timm_increasing', 2)
    assert (rand.magnitude_level, rand.total_level, rand.magnitude_std) == (9, 10, 0.5)
    assert (erase.type, erase.erase_prob, erase.mode) == ('RandomErasing', 0.25, 'rand')
    edge = 224 if family(model) in ('cait', 'xcit') else 256
    for loader in (config.val_dataloader, config.test_dataloader):
        resize, centre = loader.dataset.pipeline[1:-1]
        assert (resize.type, resize.scale, resize.edge) == ('ResizeEdge', edge, 'short')
        assert (resize.interpolation, resize.backend) == ('bicubic', 'pillow')
        assert (centre.type, centre.crop_size) == ('CenterCrop', 224)
    assert config.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert config.data_preprocessor.std == [58.395, 57.12, 57.375]
    assert config.data_preprocessor.to_rgb is True


@pytest.mark.parametrize('model', MODEL)
def test_a_model_has_its_own_part_of_the_recipe(model):
    config, wanted = read(file_of(model)), MODEL[model]
    backbone = config.model.get('backbone', config.model)
    args = dict(wanted.args)
    if 'in_channels' in args:
        assert (config.model.head.num_classes, config.model.head.in_channels) == (1000, args.pop('in_channels'))
    else:
        assert (backbone.model_name, backbone.num_classes) == ('cait_xxs36_224', 1000)
    assert {key: backbone[key] for key in args} == args
    assert backbone.drop_path_rate == wanted.drop_path
    clip = None if wanted.clip is None else dict(max_norm=wanted.clip)
    assert config.optim_wrapper.clip_grad == clip
    (schedule,) = config.param_scheduler
    assert schedule.to_dict() == ours(
        'TimmCosineLR', warmup=20, start_factor=1e-3, eta_min_ratio=1e-2, by_epoch=True, convert_to_iter_based=True
    )


@pytest.mark.parametrize('model', MODEL)
def test_methods_differ_from_the_baseline_in_nothing_but_mixing_and_hook(model):
    rests = []
    for kind in KINDS:
        config = read(file_of(model, kind)).to_dict()
        config['model']['train_cfg'].pop('augments')
        for key in ('custom_hooks', 'transmix', 'mixpro'):  # the last two name what is in augments
            config.pop(key, None)
        rests.append(config)
    assert rests[0] == rests[1] == rests[2]


FIRST = {family(model): model for model in reversed(MODEL)}


@pytest.mark.parametrize('model', [model for model in MODEL if model not in FIRST.values()])
def test_sizes_of_a_family_differ_in_nothing_but_their_own_part(model):
    first = FIRST[family(model)]
    rests = []
    for name in (first, model):
        config = read(file_of(name)).to_dict()
        keys = {'drop_path_rate', *MODEL[name].args} - {'type'}
        for part in (config['model'].get('backbone', config['model']), config['model'].get('head', {})):
            for key in keys & part.keys():
                part.pop(key)
        config['optim_wrapper'].pop('clip_grad')
        rests.append(config)
    assert rests[0] == rests[1]


@pytest.mark.parametrize('model', MODEL)
def test_models_have_the_parameters_of_table_1(model):
    count = sum(parameter.numel() for parameter in built(model).parameters())
    assert count == MODEL[model].params
    assert count / 1e6 == pytest.approx(TABLE_1[model].params, abs=0.05 if TABLE_1[model].params % 1 else 0.5)


def blocks_of(model):
    """(with drop path, without) in the order of the forward pass."""
    net = getattr(built(model), 'backbone', built(model))
    if family(model) == 'deit':
        return [*net.layers], []
    if family(model) == 'pvt':
        return [*net.block1, *net.block2, *net.block3, *net.block4], []
    if family(model) == 'cait':
        return [*net.model.blocks], [*net.model.blocks_token_only]
    if family(model) == 'xcit':
        return [*net.xca_layers], [*net.ca_layers]
    return [*(block for stage in net.stages for block in stage.blocks), net.ca_block], []


def rates_in(block):
    return {round(layer.drop_prob, 9) for layer in block.modules() if type(layer).__name__ == 'DropPath'}


@pytest.mark.parametrize('model', MODEL)
def test_paths_are_dropped_at_the_rates_of_each_author(model):
    wanted, (dropping, others) = MODEL[model], blocks_of(model)
    assert len(dropping) == wanted.blocks
    top = wanted.drop_path
    rates = [top] * wanted.blocks if wanted.even else [top * n / (wanted.blocks - 1) for n in range(wanted.blocks)]
    assert [max(rates_in(block), default=0) for block in dropping] == pytest.approx(rates, abs=1e-6)
    assert all(len(rates_in(block)) == 1 for block in dropping)
    assert len(others) == (2 if wanted.even else 0)  # class attention
    assert all(rates_in(block) <= {0} for block in others)


@pytest.mark.parametrize('model', MODEL)
def test_weights_decay_as_in_the_code_of_each_author(model):
    parameters = dict(built(model).named_parameters())
    names = {id(parameter): name for name, parameter in parameters.items()}
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        wrapper = build_optim_wrapper(built(model), read(file_of(model)).optim_wrapper.to_dict())
    decays = {
        names[id(parameter)]: group['weight_decay']
        for group in wrapper.param_groups
        for parameter in group['params']
        if id(parameter) in names  # mmengine adds one of its own
    }
    assert {group['lr'] for group in wrapper.param_groups} == {1e-3}
    assert set(decays.values()) == {0.0, 0.05}
    assert {name for name, decay in decays.items() if decay == 0} == {
        name
        for name, parameter in parameters.items()
        if parameter.ndim == 1 or name.rsplit('.', 1)[-1] in UNDECAYED[family(model)]
    }
    assert len(decays) == len(parameters)
    kept = {'pvt': 'backbone.pos_embed4', 'xcit': 'backbone.xca_layers.0.attn.temperature'}.get(family(model))
    assert kept is None or decays[kept] == 0.05


@pytest.mark.parametrize('model', MODEL)
def test_batch_norms_see_all_gpus(model):
    kinds = {type(layer) for layer in built(model).modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)}
    assert kinds == ({nn.BatchNorm2d} if family(model) == 'xcit' else set())
    assert read(file_of(model)).get('sync_bn') == ('torch' if family(model) == 'xcit' else None)
    if kinds:
        count = sum(isinstance(layer, nn.BatchNorm2d) for layer in built(model).modules())
        with DefaultScope.overwrite_default_scope('mmpretrain'), torch.device('meta'):
            again = MODELS.build({**read(file_of(model)).model.to_dict(), 'train_cfg': None})
        turned = convert_sync_batchnorm(again, 'torch')
        assert sum(isinstance(layer, nn.SyncBatchNorm) for layer in turned.modules()) == count


def test_the_released_code_differs_in_all_its_points():
    config = read(RELEASED)
    assert config.model.backbone.patch_size == 14
    method = ours('MixPro', alpha=1.0, patch_size=14, mask_scale=4, rounding='ceil')
    mixing = config.model.train_cfg.to_dict()
    assert mixing == dict(augments=[*augments_of(HOST_BOX), method], probs=[0.25, 0.25, 0.5])
    (hook,) = config.custom_hooks
    labeling = HOOKS.build(hook).labeling
    assert (labeling.detach, labeling.smooth_target, labeling.label_smooth_val) == (False, True, 0.1)
    assert (labeling.strategy, labeling.downsample) == ('cosine', 'nearest')
    hard = dict(type='CrossEntropyLoss', use_soft=True)
    assert config.model.head.loss.to_dict() == ours('BranchLoss', loss=LOSS, labelled=hard)
    rests = []
    for name in (RELEASED, file_of('deit-small')):
        config = read(name).to_dict()
        for key in ('custom_hooks', 'released', 'smooth', 'hard', 'labeling'):
            config.pop(key, None)
        for part, key in (('backbone', 'patch_size'), ('head', 'loss')):
            config['model'][part].pop(key)
        config['model'].pop('train_cfg')
        rests.append(config)
    assert rests[0] == rests[1]


# from here on, models are trained


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """Two images through the whole training pipeline, at a size that has more than one mask cell."""
    root = tmp_path_factory.mktemp('imagenet')
    write_imagenet(root)

    @functools.cache
    def loader(size):
        config = config_rows.fresh(path_of(file_of('deit-small')))
        config.train_dataloader.dataset.pipeline[1].scale = size
        return loader_of(config, 2, data_root=str(root))

    return loader


FULL = {
    file_of(model, 'mixpro') for model in ('deit-tiny', 'pvt-tiny', 'cait-xxs36', 'xcit-tiny-24-p16', 'ca-swin-tiny')
}


def shallow(model, backbone):
    """Take blocks out of a model, and nothing else: one step of all in full size would take minutes."""
    if family(model) == 'deit':
        heads = {'deit-tiny': 3, 'deit-small': 6, 'deit-base': 12}[model]
        backbone.arch = dict(embed_dims=64 * heads, num_layers=2, num_heads=heads, feedforward_channels=256 * heads)
    elif family(model) == 'pvt':
        backbone.arch = dict(
            embed_dims=(64, 128, 320, 512),
            num_heads=(1, 2, 5, 8),
            mlp_ratios=(8, 8, 4, 4),
            depths=(1, 1, 2, 1),
            sr_ratios=(8, 4, 2, 1),
        )
    elif family(model) == 'ca':
        backbone.arch = dict(embed_dims=96, depths=(1, 1, 2, 2), num_heads=(3, 6, 12, 24))
    else:
        backbone.depth = 2


@pytest.mark.parametrize('name', [*FILES, RELEASED])
def test_every_file_trains(name, imagenet, tmp_path):
    model, kind = FILES.get(name, ('deit-small', 'mixpro'))
    config = only_its_own(config_rows.fresh(path_of(name)))
    backbone = config.model.get('backbone', config.model)
    if name not in FULL:
        shallow(model, backbone)
    if family(model) == 'cait':
        backbone.img_size = 128  # its positions are not interpolated
    elif family(model) == 'ca':
        backbone.pad_small_map = True
    size = 64 if family(model) in ('pvt', 'ca') else 112 if name == RELEASED else 128  # 2 x 2 cells
    runner = train(config, imagenet(size), tmp_path, KINDS[kind][2])
    assert runner.iter == 1
    state = runner.optim_wrapper.optimizer.state  # it stands still where no gradient came
    assert {key for key, p in runner.model.named_parameters() if p not in state or state[p]['step'] != 1} == set()
    linear = {key: layer for key, layer in runner.model.named_modules() if isinstance(layer, nn.Linear)}
    stds = {key: layer.weight.std().item() for key, layer in linear.items() if layer.weight.numel() > 5000}
    assert len(stds) > 8
    assert {key: std for key, std in stds.items() if not 0.019 < std < 0.021} == {}


@pytest.mark.parametrize('epochs', [300, 400])
@pytest.mark.parametrize('scaled', [False, True])
def test_the_schedule_is_that_of_timm_at_every_iteration(epochs, scaled, imagenet, tmp_path):
    config = config_rows.fresh(path_of(file_of('deit-tiny')))
    config.model.backbone.arch = dict(embed_dims=8, num_layers=1, num_heads=1, feedforward_channels=8)
    config.model.head.in_channels = 8
    schedules = {MODEL[model].epochs: read(file_of(model)) for model in MODEL}
    for key in ('train_cfg', 'param_scheduler'):
        config[key] = schedules[epochs].to_dict()[key]
    runner = runner_of(config, imagenet(64), tmp_path)
    runner._train_loop = runner.build_train_loop(config.train_cfg)
    runner.optim_wrapper = runner.build_optim_wrapper(config.optim_wrapper)
    runner.scale_lr(runner.optim_wrapper, dict(base_batch_size=1024, enable=scaled))  # to batches of 2
    scale = 2 / 1024 if scaled else 1
    groups = [dict(params=[nn.Parameter(torch.zeros(1))], lr=1e-3 * scale)]
    released = CosineLRScheduler(  # as MixPro builds it
        torch.optim.AdamW(groups),
        t_initial=epochs,
        lr_min=1e-5 * scale,
        warmup_lr_init=1e-6 * scale,
        warmup_t=20,
        cycle_limit=1,
        t_in_epochs=False,
    )
    (schedule,) = runner.build_param_scheduler(config.param_scheduler)
    for step in range(epochs):  # of one iteration
        released.step_update(step)
        rates = {group['lr'] for group in runner.optim_wrapper.optimizer.param_groups}
        assert list(rates) == [pytest.approx(released.optimizer.param_groups[0]['lr'], abs=1e-12)], step
        runner.optim_wrapper.step()
        schedule.step()


def started(model):
    """A model of Table 1 as a run draws it."""
    settings = {**read(file_of(model)).model.to_dict(), 'train_cfg': None}
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        net = MODELS.build(settings)
    net.init_weights()
    return net


def spread(net):
    """Shape -> (mean, std) of all tensors of that shape, in order of size."""
    found = defaultdict(list)
    for parameter in net.parameters():
        found[parameter.shape].append((parameter.std(correction=0).item(), parameter.mean().item()))
    return {shape: sorted(pairs) for shape, pairs in found.items()}


def noise_of(std, numel):
    """How far mean and std of a drawn tensor may be off: 5 sigma, and 5 % for the few +-2 that trunc_normal_ draws."""
    return std * (0.05 + 5 / math.sqrt(numel))


@pytest.mark.parametrize(
    ('model', 'name'),
    [
        ('deit-small', 'deit_small_patch16_224'),
        ('xcit-tiny-24-p16', 'xcit_tiny_24_p16_224'),
        ('xcit-small-12-p16', 'xcit_small_12_p16_224'),
        ('cait-xxs36', 'cait_xxs36_224'),
    ],
)
def test_weights_start_as_in_timm(model, name):
    torch.manual_seed(1)
    released = timm.create_model(name)
    nn.init.trunc_normal_(released.cls_token, std=0.02)  # as released with DeiT and with MixPro; in timm now 1e-6
    ours, theirs = spread(started(model)), spread(released)
    assert ours.keys() == theirs.keys()
    for shape, pairs in ours.items():
        differences = torch.tensor(pairs).sub(torch.tensor(theirs[shape])).abs()
        assert differences.max() <= noise_of(max(std for std, _ in pairs), shape.numel()), shape


@pytest.mark.parametrize('model', ['pvt-tiny', 'ca-swin-tiny'])
def test_weights_start_as_in_the_release(model):
    """timm has no PVT v1 and no CA-Swin: linear layers, tokens and tables 0.02, convolutions as torch draws them."""
    seen = Counter()
    for name, layer in started(model).named_modules():
        for key, parameter in layer.named_parameters(recurse=False):
            std, mean = 0.02, 0.0
            if isinstance(layer, nn.Conv2d):
                std = 1 / math.sqrt(3 * layer.weight[0].numel())
            elif isinstance(layer, nn.LayerNorm):
                std, mean = 0.0, float(key == 'weight')
            elif key == 'bias':
                std = 0.0
            noise = noise_of(std, parameter.numel())
            assert parameter.std(correction=0).item() == pytest.approx(std, abs=noise), f'{name}.{key}'
            assert parameter.mean().item() == pytest.approx(mean, abs=noise), f'{name}.{key}'
            seen[type(layer).__name__] += 1
    assert seen['Conv2d'] >= 2 and seen['Linear'] > 40
