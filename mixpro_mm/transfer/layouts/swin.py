"""Swin: official and released MixPro (merging ends a stage), timm (merging begins a stage), mmpretrain, mmseg, mmdet.

The four neighbours that are merged stand one after the other in the official weights, channel by channel in those of
OpenMMLab, which merges by ``nn.Unfold``; and the official order goes down first, ``nn.Unfold`` to the right.
"""

import torch
from torch import Tensor

from mixpro_mm.transfer.keys import Rule, both, drop, itself
from mixpro_mm.transfer.layouts.family import Family, Original, count, no_head, ratio, whole

__all__ = ['SWIN']


def _merged(tensor: Tensor) -> Tensor:
    """(..., 4C) ordered by neighbour, then channel -> ordered by channel, then neighbour."""
    return tensor.unflatten(-1, (4, -1))[..., [0, 2, 1, 3], :].transpose(-1, -2).flatten(-2)


def _window(table: Tensor) -> int:
    """Side w of the window of a bias table ((2w-1)**2, heads)."""
    window = (round(len(table) ** 0.5) + 1) // 2
    if (2 * window - 1) ** 2 != len(table):
        raise ValueError(f'has a position bias table of {len(table)} rows, which is no square window')
    return window


def _with_index(table: Tensor) -> tuple[Tensor, Tensor]:
    """The table, and for each pair of places in the window (w*w, w*w) the row that holds their bias."""
    window = _window(table)
    row, column = torch.meshgrid(torch.arange(window), torch.arange(window), indexing='ij')
    down, right = (place.flatten()[:, None] - place.flatten()[None, :] + window - 1 for place in (row, column))
    return table, down * (2 * window - 1) + right


def _table(merging_at: int) -> tuple[Rule, ...]:
    """Rules for files in which the first merging stands in stage ``merging_at``."""
    merging = dict(change=_merged, how='re-ordered for nn.Unfold', numbers=lambda stage: (stage - merging_at,))
    block, here = 'layers.*.blocks.*', 'backbone.stages.*.blocks.*'
    table = Rule(
        f'{block}.attn.relative_position_bias_table',
        tuple(f'{here}.attn.w_msa.relative_position_{name}' for name in ('bias_table', 'index')),
        change=_with_index,
        how=('', 'window indices made anew'),
    )
    return (
        *both('patch_embed.proj', 'backbone.patch_embed.projection'),
        *both('patch_embed.norm', 'backbone.patch_embed.norm'),
        *both(f'{block}.norm1', f'{here}.norm1'),
        table,
        *both(f'{block}.attn.qkv', f'{here}.attn.w_msa.qkv'),
        *both(f'{block}.attn.proj', f'{here}.attn.w_msa.proj'),
        *both(f'{block}.norm2', f'{here}.norm2'),
        *both(f'{block}.mlp.fc1', f'{here}.ffn.layers.0.0'),
        *both(f'{block}.mlp.fc2', f'{here}.ffn.layers.1'),
        Rule('layers.*.downsample.reduction.weight', ('backbone.stages.*.downsample.reduction.weight',), **merging),
        *both('layers.*.downsample.norm', 'backbone.stages.*.downsample.norm', **merging),
        *both('norm', 'backbone.norm3'),
        *both('head', 'head.fc', together='head'),
        *drop('constants, made anew', f'{block}.attn.relative_position_index', f'{block}.attn_mask'),
        *drop('no forward pass of the released MixPro uses it', 'mask_token'),
    )


OFFICIAL = _table(0)
TIMM = (*_table(1), *both('head.fc', 'head.fc', together='fc'))  # 'head' without 'fc' until timm 0.8
BACKBONE = tuple(rule for rule in itself(OFFICIAL) if rule.source.startswith('backbone.'))
HEAD = ('head.fc.weight', 'head.fc.bias')
MMSEG = (*(Rule(rule.source, (rule.source.removeprefix('backbone.'),)) for rule in BACKBONE), *no_head('mmseg', *HEAD))
MMDET = (*BACKBONE, *no_head('mmdet', *HEAD))  # mmdet's class reads nothing that does not begin with 'backbone.'
ARCHS = {
    (96, (2, 2, 6, 2), (3, 6, 12, 24)): 'tiny',
    (96, (2, 2, 18, 2), (3, 6, 12, 24)): 'small',
    (128, (2, 2, 18, 2), (4, 8, 16, 32)): 'base',
    (192, (2, 2, 18, 2), (6, 12, 24, 48)): 'large',
}


def _measure(tensors: dict[str, Tensor], heads: int | None) -> dict:
    depths = []
    while depth := count(tensors, f'backbone.stages.{len(depths)}.blocks.*.norm1.weight'):
        depths.append(depth)
    tables = [
        tensors[f'backbone.stages.{stage}.blocks.{index}.attn.w_msa.relative_position_bias_table']
        for stage, depth in enumerate(depths)
        for index in range(depth)
    ]
    windows = {_window(table) for table in tables}
    if len(depths) != 4 or len(windows) != 1:
        raise ValueError(
            f'has {len(depths)} stages with windows of {", ".join(map(str, sorted(windows)))}; Swin has four, with '
            'one size of window'
        )
    for stage in range(3):
        tensors[f'backbone.stages.{stage}.downsample.reduction.weight']
    dims, patch_size = tensors['backbone.patch_embed.projection.weight'].shape[::3]
    window, head = windows.pop(), tensors.get('head.fc.weight')
    first = [tables[sum(depths[:stage])] for stage in range(4)]
    return dict(
        dims=dims,
        depths=tuple(depths),
        heads=tuple(table.shape[1] for table in first),
        window=window,
        mlp_ratio=ratio(len(tensors['backbone.stages.0.blocks.0.ffn.layers.0.0.weight']), dims),
        patch_size=patch_size,
        img_size=patch_size * 8 * window,  # one window in stage 4, as in all published models
        classes=None if head is None else len(head),
    )


def _describe(size: dict) -> str:
    blocks = f'{"-".join(map(str, size["depths"]))} blocks of {size["dims"]} channels and up'
    return f'{blocks}, patch {size["patch_size"]}, window {size["window"]}'


def _maps(size: dict) -> dict:
    numbers = dict(embed_dims=size['dims'], depths=list(size['depths']), num_heads=list(size['heads']))
    return dict(
        type='SwinTransformer',
        arch=ARCHS.get((size['dims'], size['depths'], size['heads']), numbers),
        img_size=size['img_size'],
        patch_size=size['patch_size'],
        window_size=size['window'],
        **({} if size['mlp_ratio'] == 4 else dict(stage_cfgs=dict(block_cfgs=dict(ffn_ratio=size['mlp_ratio'])))),
    )


def _config(size: dict, target: str) -> dict:
    if target in ('mmseg', 'mmdet'):
        return dict(
            type='SwinTransformer',
            embed_dims=size['dims'],
            depths=size['depths'],
            num_heads=size['heads'],
            patch_size=size['patch_size'],
            strides=(size['patch_size'], 2, 2, 2),
            window_size=size['window'],
            mlp_ratio=whole(size['mlp_ratio'], 'mmdet') if target == 'mmdet' else size['mlp_ratio'],
            out_indices=(3,),
            **(dict(convert_weights=False) if target == 'mmdet' else {}),
        )
    head = dict(type='LinearClsHead', num_classes=size['classes'], in_channels=8 * size['dims'])
    return dict(
        type='ImageClassifier',
        backbone=_maps(size),
        neck=dict(type='GlobalAveragePooling'),
        **(dict(head=head) if size['classes'] else {}),
    )


def _side(size: dict, maps: bool) -> int:
    """mmseg and mmdet shift windows in stage 4 even where one window is the whole map; so let there be four."""
    return size['img_size'] * (2 if maps else 1)


def _original(size: dict, maps: bool) -> Original:
    from timm.models.swin_transformer import SwinTransformer, checkpoint_filter_fn

    model = SwinTransformer(
        img_size=_side(size, maps),
        patch_size=size['patch_size'],
        embed_dim=size['dims'],
        depths=size['depths'],
        num_heads=size['heads'],
        window_size=size['window'],
        mlp_ratio=size['mlp_ratio'],
        num_classes=size['classes'] or 0,
    ).eval()

    def load(tensors: dict[str, Tensor]) -> None:
        tensors = checkpoint_filter_fn(dict(tensors), model)
        renamed = {name.replace('head.fc.', 'head.').replace('head.', 'head.fc.'): name for name in tensors}
        model.load_state_dict({new: tensors[old] for new, old in renamed.items()})

    def read(images: Tensor) -> tuple[Tensor]:
        return (model.forward_features(images).permute(0, 3, 1, 2),) if maps else (model(images),)

    return Original('timm.SwinTransformer', load, read)


SWIN = Family(
    label='Swin',
    signs=dict(
        official='layers.0.downsample.reduction.weight',  # first, the next one is in both
        timm='layers.1.downsample.reduction.weight',
        mmpretrain='backbone.stages.0.blocks.0.attn.w_msa.qkv.weight',
    ),
    layouts=dict(official=OFFICIAL, timm=TIMM, mmpretrain=itself(OFFICIAL)),
    targets=dict(mmpretrain=None, mmseg=MMSEG, mmdet=MMDET),
    instead=dict(
        mixpro='the last block of mixpro_mm.CASwin is class attention, a plain Swin has another window block there'
    ),
    ranks={
        'backbone.patch_embed.projection.weight': 4,
        'backbone.stages.*.blocks.*.attn.w_msa.relative_position_bias_table': 2,
        'backbone.stages.*.blocks.*.ffn.layers.0.0.weight': 2,
        'backbone.stages.*.downsample.reduction.weight': 2,
        'backbone.stages.*.downsample.norm.weight': 1,
        'head.fc.weight': 2,
    },
    measure=_measure,
    blocks=lambda size: (size['dims'], size['depths']),
    published={96: ((2, 2, 6, 2), (2, 2, 18, 2)), 128: ((2, 2, 18, 2),), 192: ((2, 2, 18, 2),)},
    describe=_describe,
    config=_config,
    original=_original,
    maps=_maps,
    side=_side,
    heads_from='its tables of position biases',
    remark=dict.fromkeys(
        ('mmseg', 'mmdet'),
        'the file has the norm of stage 4 (norm3); with out_indices=(0, 1, 2, 3) norm0 to norm2 start fresh, as ever',
    ),
)
