"""Swin: official, released MixPro, transformers (merging ends a stage), timm (begins one), mmpretrain, mmseg, mmdet.

Patch merging concatenates four neighbours. The official weights order their inputs by neighbour, column by column, then
by channel; those of OpenMMLab by channel, then by neighbour, row by row, as in ``nn.Unfold``.
"""

import torch
from mmpretrain.models.backbones import SwinTransformer
from torch import Tensor

from mixpro_mm.transfer.keys import Operation, inverse
from mixpro_mm.transfer.layouts.family import (
    EXTRA,
    NO_HEAD,
    classifier,
    count,
    joined,
    of_transformers,
    ratio,
    timm_config,
    whole,
)

__all__ = ['INSTEAD', 'LABEL', 'LAYOUTS', 'PUBLISHED', 'TARGETS', 'TIMM_MODEL', 'config', 'measure']


def _merged(tensor: Tensor) -> Tensor:
    """Reorder (..., 4C) from neighbour, then channel to channel, then neighbour."""
    return tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :].transpose(-1, -2).flatten(-2)


def _separated(tensor: Tensor) -> Tensor:
    """Undo :func:`_merged`."""
    return tensor.unflatten(-1, (-1, 4)).transpose(-1, -2)[..., [0, 2, 1, 3], :].flatten(-2)


def _window(table: Tensor) -> int:
    """Return the side w of the window of a bias table ((2w-1)**2, heads)."""
    window = (round(len(table) ** 0.5) + 1) // 2
    if (2 * window - 1) ** 2 != len(table):
        raise ValueError(f'has a position bias table of {len(table)} rows, not a square window')
    return window


def _with_index(table: Tensor) -> tuple[Tensor, Tensor]:
    """Return the table, and its row for each pair of tokens in the window, (w*w, w*w)."""
    window = _window(table)
    row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
    down, right = (place.flatten()[:, None] - place.flatten()[None, :] + window - 1 for place in (row, column))
    return table, down * (2 * window - 1) + right


BLOCK, HERE = 'layers.*.blocks.*.', 'backbone.stages.*.blocks.*.'
POSITIONS = tuple(f'{HERE}attn.w_msa.relative_position_{name}' for name in ('bias_table', 'index'))
MERGED = Operation('re-ordered for nn.Unfold', _merged)
WITH_INDEX = Operation('with window indices computed', _with_index)
COMMON = (
    ('patch_embed.proj.', 'backbone.patch_embed.projection.'),
    ('patch_embed.norm.', 'backbone.patch_embed.norm.'),
    (f'{BLOCK}attn.relative_position_index', None, 'constant, recomputed'),
    (f'{BLOCK}attn_mask', None, 'constant, recomputed'),
    (f'{BLOCK}attn.relative_position_bias_table', POSITIONS, WITH_INDEX),
    (f'{BLOCK}attn.', f'{HERE}attn.w_msa.'),
    (f'{BLOCK}mlp.fc1.', f'{HERE}ffn.layers.0.0.'),
    (f'{BLOCK}mlp.fc2.', f'{HERE}ffn.layers.1.'),
    (BLOCK, HERE),
    ('norm.', 'backbone.norm3.'),
    ('head.fc.', 'head.fc.'),
    ('head.', 'head.fc.'),  # also in timm before 0.8
    *EXTRA,
)
OFFICIAL = (*COMMON, ('layers.*.downsample.', 'backbone.stages.*.downsample.', MERGED))
TIMM = (*COMMON, ('layers.*.downsample.', 'backbone.stages.*-1.downsample.', MERGED))
LAYER, STAGE = 'encoder.layers.*.blocks.*.', 'encoder.layers.*.'
TRANSFORMERS = (
    ('embeddings.patch_embeddings.projection.', 'backbone.patch_embed.projection.'),
    ('embeddings.norm.', 'backbone.patch_embed.norm.'),
    ('embeddings.mask_token', None, 'for masked image modeling'),
    (f'{LAYER}attention.self.relative_position_index', None, 'constant, recomputed'),
    (f'{LAYER}attention.self.relative_position_bias_table', POSITIONS, WITH_INDEX),
    *joined(f'{LAYER}attention.self.', ('query', 'key', 'value'), f'{HERE}attn.w_msa.qkv.'),
    (f'{LAYER}attention.output.dense.', f'{HERE}attn.w_msa.proj.'),
    (f'{LAYER}layernorm_before.', f'{HERE}norm1.'),
    (f'{LAYER}layernorm_after.', f'{HERE}norm2.'),
    (f'{LAYER}intermediate.dense.', f'{HERE}ffn.layers.0.0.'),
    (f'{LAYER}output.dense.', f'{HERE}ffn.layers.1.'),
    (f'{STAGE}downsample.', 'backbone.stages.*.downsample.', MERGED),
    ('layernorm.', 'backbone.norm3.'),
)
TO_TIMM = (
    (POSITIONS[0], f'{BLOCK}attn.relative_position_bias_table'),
    (POSITIONS[1], None, 'constant, recomputed'),
    ('backbone.stages.*.downsample.', 'layers.*+1.downsample.', Operation('re-ordered by neighbour', _separated)),
    *inverse(COMMON),
)
MMSEG = (('backbone.', ''), NO_HEAD['mmseg'])
# mmdet's class loads only names that begin with 'backbone.'
MMDET = (('backbone.', 'backbone.'), NO_HEAD['mmdet'])
LABEL = 'Swin'
LAYOUTS = dict(
    official=('layers.0.downsample.reduction.weight', OFFICIAL),  # first: its files also have the sign of timm
    timm=('layers.1.downsample.reduction.weight', TIMM),
    mmpretrain=('backbone.stages.0.blocks.0.attn.w_msa.qkv.weight', None),
)
LAYOUTS |= of_transformers('swin', 'encoder.layers.0.blocks.0.attention.self.query.weight', TRANSFORMERS)
TARGETS = dict(mmpretrain=None, mmseg=MMSEG, mmdet=MMDET, timm=TO_TIMM)
INSTEAD = dict(mixpro='the last block of mixpro_mm.CASwin is class attention, not window attention')
PUBLISHED = {96: ('2-2-6-2', '2-2-18-2'), 128: ('2-2-18-2',), 192: ('2-2-18-2',)}
TIMM_MODEL = 'swin_transformer:SwinTransformer'
# (channels, blocks of stage 3) of the published models -> part of timm's name
NAMES = {(96, 6): 'tiny', (96, 18): 'small', (128, 18): 'base', (192, 18): 'large'}


def measure(tensors: dict[str, Tensor], heads: int | None) -> dict:
    depths = tuple(count(tensors, f'backbone.stages.{stage}.blocks.*.norm1.weight') for stage in range(4))
    tables = {name: tensor for name, tensor in tensors.items() if name.endswith('relative_position_bias_table')}
    windows = sorted(set(map(_window, tables.values())))
    if not all(depths) or len(windows) != 1:
        found = f'{"-".join(map(str, depths))} blocks with windows of {", ".join(map(str, windows))}'
        raise ValueError(f'has {found}; Swin has four stages and one window size')
    dims, patch_size = tensors['backbone.patch_embed.projection.weight'].shape[::3]
    first = [tables[f'backbone.stages.{stage}.blocks.0.attn.w_msa.relative_position_bias_table'] for stage in range(4)]
    hidden = len(tensors['backbone.stages.0.blocks.0.ffn.layers.0.0.weight'])
    numbers = dict(embed_dims=dims, depths=depths, num_heads=tuple(table.shape[1] for table in first))
    img_size = patch_size * 8 * windows[0]  # one window in stage 4, as in all published models
    return dict(
        blocks='-'.join(map(str, depths)),
        width=dims,
        numbers=dict(numbers, window_size=windows[0], mlp_ratio=ratio(hidden, dims)),
        patch_size=patch_size,
        img_size=img_size,
        maps_size=2 * img_size,  # four windows in stage 4, because mmseg and mmdet shift even a single one
        classes=len(tensors.get('head.fc.weight', ())),
    )


def maps(size: dict) -> dict:
    dims, depths, heads, window, mlp_ratio = size['numbers'].values()
    arch = dict(embed_dims=dims, depths=list(depths), num_heads=list(heads))
    arch = max((name for name, known in SwinTransformer.arch_zoo.items() if known == arch), key=len, default=arch)
    more = {} if mlp_ratio == 4 else dict(stage_cfgs=dict(block_cfgs=dict(ffn_ratio=mlp_ratio)))
    numbers = dict(img_size=size['img_size'], patch_size=size['patch_size'], window_size=window)
    return dict(type='SwinTransformer', arch=arch, **numbers, **more)


def config(size: dict, target: str) -> dict:
    if target == 'timm':
        dims, depths, heads, window, mlp_ratio = size['numbers'].values()
        name = NAMES.get((dims, depths[2])) if size['blocks'] in PUBLISHED.get(dims, ()) else None
        is_named = name and (heads[0], window, mlp_ratio, size['patch_size']) == (dims // 32, 7, 4, 4)
        name = f'swin_{name}_patch4_window7_224' if is_named else None
        numbers = dict(embed_dim=dims, depths=depths, num_heads=heads, window_size=window, mlp_ratio=mlp_ratio)
        return timm_config(size, name, 'swin_tiny_patch4_window7_224', numbers)
    if target not in NO_HEAD:
        return classifier(size, maps(size), 8 * size['width'], neck=dict(type='GlobalAveragePooling'))
    patch_size, mlp_ratio = size['patch_size'], size['numbers']['mlp_ratio']
    numbers = dict(size['numbers'], patch_size=patch_size, strides=(patch_size, 2, 2, 2), out_indices=(3,))
    if target == 'mmdet':
        numbers |= dict(mlp_ratio=whole(mlp_ratio, 'mmdet'), convert_weights=False)
    return dict(type='SwinTransformer', **numbers)
