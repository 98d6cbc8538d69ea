"""XCiT: official (class attention with packed qkv), timm, mmpretrain."""

from torch import Tensor

from mixpro_mm.transfer.keys import Rule, both, itself
from mixpro_mm.transfer.layouts.family import Family, Original, count, ratio

__all__ = ['XCIT']


STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


def _batch_norm(source: str, target: str, **kwargs) -> tuple[Rule, ...]:
    statistics = (Rule(f'{source}.{kind}', (f'{target}.{kind}',), **kwargs) for kind in STATISTICS)
    return (*both(source, target, **kwargs), *statistics)


def _halved(number: int) -> tuple[int]:
    return (number // 2,)  # an activation stands between two convolutions


def _thirds(tensor: Tensor) -> tuple[Tensor, ...]:
    return tensor.chunk(3)


COMMON = (
    Rule('cls_token', ('backbone.cls_token',)),
    Rule('patch_embed.proj.*.0.weight', ('backbone.patch_embed.proj.*.conv.weight',), numbers=_halved),
    *_batch_norm('patch_embed.proj.*.1', 'backbone.patch_embed.proj.*.bn', numbers=_halved),
    *(Rule(f'blocks.*.gamma{number}', (f'backbone.xca_layers.*.gamma{number}',)) for number in (1, 2, 3)),
    Rule('blocks.*.attn.temperature', ('backbone.xca_layers.*.attn.temperature',)),
    *both('blocks.*.norm1', 'backbone.xca_layers.*.norm1'),
    *both('blocks.*.attn.qkv', 'backbone.xca_layers.*.attn.qkv'),
    *both('blocks.*.attn.proj', 'backbone.xca_layers.*.attn.proj'),
    *both('blocks.*.norm3', 'backbone.xca_layers.*.norm3'),
    *both('blocks.*.local_mp.conv1', 'backbone.xca_layers.*.local_mp.conv1.conv'),
    *_batch_norm('blocks.*.local_mp.bn', 'backbone.xca_layers.*.local_mp.conv1.bn'),
    *both('blocks.*.local_mp.conv2', 'backbone.xca_layers.*.local_mp.conv2.conv'),
    *both('blocks.*.norm2', 'backbone.xca_layers.*.norm2'),
    *both('blocks.*.mlp.fc1', 'backbone.xca_layers.*.ffn.layers.0.0'),
    *both('blocks.*.mlp.fc2', 'backbone.xca_layers.*.ffn.layers.1'),
    *(Rule(f'cls_attn_blocks.*.gamma{number}', (f'backbone.ca_layers.*.gamma{number}',)) for number in (1, 2)),
    *both('cls_attn_blocks.*.norm1', 'backbone.ca_layers.*.norm1'),
    *both('cls_attn_blocks.*.attn.proj', 'backbone.ca_layers.*.attn.proj'),
    *both('cls_attn_blocks.*.norm2', 'backbone.ca_layers.*.norm2'),
    *both('cls_attn_blocks.*.mlp.fc1', 'backbone.ca_layers.*.ffn.layers.0.0'),
    *both('cls_attn_blocks.*.mlp.fc2', 'backbone.ca_layers.*.ffn.layers.1'),
    *both('norm', 'backbone.norm'),
    *both('head', 'head.fc', together='head'),
)
OFFICIAL = (
    *COMMON,
    *both('pos_embeder.token_projection', 'backbone.pos_embed.token_projection.conv'),
    *(
        Rule(
            f'cls_attn_blocks.*.attn.qkv.{kind}',
            tuple(f'backbone.ca_layers.*.attn.{part}.{kind}' for part in 'qkv'),
            change=_thirds,
            how='split out of qkv',
        )
        for kind in ('weight', 'bias')
    ),
)
TIMM = (
    *COMMON,
    *both('pos_embed.token_projection', 'backbone.pos_embed.token_projection.conv'),
    *(rule for part in 'qkv' for rule in both(f'cls_attn_blocks.*.attn.{part}', f'backbone.ca_layers.*.attn.{part}')),
)


def _measure(tensors: dict[str, Tensor], heads: int | None) -> dict:
    head, convolutions = tensors.get('head.fc.weight'), count(tensors, 'backbone.patch_embed.proj.*.conv.weight')
    dims = tensors['backbone.cls_token'].shape[-1]
    if convolutions not in (3, 4):
        raise ValueError(f'has {convolutions} convolutions before its blocks; XCiT has 3 (patch 8) or 4 (patch 16)')
    return dict(
        dims=dims,
        depth=count(tensors, 'backbone.xca_layers.*.gamma1'),
        class_depth=count(tensors, 'backbone.ca_layers.*.gamma1'),
        heads=len(tensors['backbone.xca_layers.0.attn.temperature']),
        mlp_ratio=ratio(len(tensors['backbone.xca_layers.0.ffn.layers.0.0.weight']), dims),
        patch_size=2**convolutions,
        img_size=224,  # its positions are a function, any size will do
        tokens_norm=dims != 128,  # no tensor tells it; only XCiT-nano goes without
        classes=None if head is None else len(head),
    )


def _describe(size: dict) -> str:
    return f'{size["depth"]} + {size["class_depth"]} blocks of {size["dims"]} channels, patch {size["patch_size"]}'


def _config(size: dict, target: str) -> dict:
    backbone = dict(
        type='XCiT',
        patch_size=size['patch_size'],
        embed_dims=size['dims'],
        depth=size['depth'],
        cls_attn_layers=size['class_depth'],
        num_heads=size['heads'],
        mlp_ratio=size['mlp_ratio'],
        tokens_norm=size['tokens_norm'],
    )
    head = dict(type='LinearClsHead', num_classes=size['classes'], in_channels=size['dims'])
    return dict(type='ImageClassifier', backbone=backbone, **(dict(head=head) if size['classes'] else {}))


def _original(size: dict, maps: bool) -> Original:
    from timm.models.xcit import Xcit, checkpoint_filter_fn

    model = Xcit(
        img_size=size['img_size'],
        patch_size=size['patch_size'],
        embed_dim=size['dims'],
        depth=size['depth'],
        cls_attn_layers=size['class_depth'],
        num_heads=size['heads'],
        mlp_ratio=size['mlp_ratio'],
        tokens_norm=size['tokens_norm'],
        num_classes=size['classes'] or 0,
    ).eval()
    return Original(
        'timm.Xcit',
        lambda tensors: model.load_state_dict(checkpoint_filter_fn(dict(tensors), model)),
        lambda images: (model(images),),
    )


IN_PLACE = "{} has no XCiT of its own; in its configs type='mmpretrain.XCiT' takes a file in mmpretrain's layout"
XCIT = Family(
    label='XCiT',
    signs=dict(
        official='cls_attn_blocks.0.attn.qkv.weight',
        timm='cls_attn_blocks.0.attn.q.weight',
        mmpretrain='backbone.xca_layers.0.attn.qkv.weight',
    ),
    layouts=dict(official=OFFICIAL, timm=TIMM, mmpretrain=itself(TIMM)),
    targets=dict(mmpretrain=None, mixpro=None),
    instead=dict(mmseg=IN_PLACE.format('mmseg'), mmdet=IN_PLACE.format('mmdet')),
    ranks={
        'backbone.cls_token': 3,
        'backbone.xca_layers.*.attn.temperature': 3,
        'backbone.xca_layers.*.ffn.layers.0.0.weight': 2,
        'head.fc.weight': 2,
    },
    measure=_measure,
    blocks=lambda size: (size['dims'], f'{size["depth"]} + {size["class_depth"]}'),
    published={
        128: ('12 + 2',),
        192: ('12 + 2', '24 + 2'),
        384: ('12 + 2', '24 + 2'),
        512: ('24 + 2',),
        768: ('24 + 2',),
    },
    heads_from='its temperatures',
    describe=_describe,
    config=_config,
    original=_original,
)
