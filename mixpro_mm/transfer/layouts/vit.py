"""DeiT and ViT with a class token: official DeiT, timm, SMMix, released MixPro and TransMix, mmpretrain, mmseg."""

from torch import Tensor

from mixpro_mm.transfer.keys import Rule, both, drop, itself
from mixpro_mm.transfer.layouts.family import Family, Original, count, no_head, ratio, square_side, whole

__all__ = ['VIT']

TIMM = (
    Rule('cls_token', ('backbone.cls_token',)),
    Rule('pos_embed', ('backbone.pos_embed',)),
    *both('patch_embed.proj', 'backbone.patch_embed.projection'),
    *both('blocks.*.norm1', 'backbone.layers.*.ln1'),
    *both('blocks.*.attn.qkv', 'backbone.layers.*.attn.qkv'),
    *both('blocks.*.attn.proj', 'backbone.layers.*.attn.proj'),
    *both('blocks.*.norm2', 'backbone.layers.*.ln2'),
    *both('blocks.*.mlp.fc1', 'backbone.layers.*.ffn.layers.0.0'),
    *both('blocks.*.mlp.fc2', 'backbone.layers.*.ffn.layers.1'),
    *both('norm', 'backbone.ln1'),
    *both('head', 'head.layers.head', together='head'),
    *drop('SMMix trains this second head on patches and predicts without it', 'token_head.weight', 'token_head.bias'),
    *drop('no forward pass of the released MixPro uses it', 'mask_token', 'head1.weight', 'head1.bias'),
)
HEADS = tuple(f'head.{layer}.{kind}' for layer in ('layers.head', 'fc') for kind in ('weight', 'bias'))
OWN = (*itself(TIMM), *both('head.fc', 'head.fc', together='fc'))


def _mmseg_name(name: str) -> str:
    name = name.removeprefix('backbone.')  # mmseg's class ignores the prefix of init_cfg
    return name.replace('.attn.qkv.', '.attn.attn.in_proj_').replace('.attn.proj.', '.attn.attn.out_proj.')


MMSEG = (
    *(Rule(rule.source, (_mmseg_name(rule.source),)) for rule in itself(TIMM) if rule.source not in HEADS),
    *no_head('mmseg', *HEADS),
)
ARCHS = {
    (192, 12, 3, 768): 'deit-tiny',
    (384, 12, 6, 1536): 'deit-small',
    (768, 12, 12, 3072): 'deit-base',
}


def _measure(tensors: dict[str, Tensor], heads: int | None) -> dict:
    dims, patch_size = tensors['backbone.patch_embed.projection.weight'].shape[::3]
    if heads is None:  # no tensor tells it; 64 channels each in every DeiT
        if dims % 64:
            raise ValueError(
                f'has {dims} channels, which are no heads of 64 channels each: give the number of heads with --heads'
            )
        heads = dims // 64
    if heads < 1 or dims % heads:
        raise ValueError(f'has {dims} channels, which cannot be shared by the {heads} heads of --heads')
    head = next((tensors[name] for name in HEADS if name in tensors), None)
    return dict(
        dims=dims,
        depth=count(tensors, 'backbone.layers.*.ln1.weight'),
        heads=heads,
        hidden=tensors['backbone.layers.0.ffn.layers.0.0.weight'].shape[0],
        patch_size=patch_size,
        img_size=patch_size * square_side('pos_embed', tensors['backbone.pos_embed'].shape[1] - 1),
        classes=None if head is None else len(head),
    )


def _describe(size: dict) -> str:
    return f'{size["depth"]} blocks of {size["dims"]} channels, patch {size["patch_size"]}, {size["img_size"]} px'


def _backbone(size: dict) -> dict:
    numbers = dict(
        embed_dims=size['dims'],
        num_layers=size['depth'],
        num_heads=size['heads'],
        feedforward_channels=size['hidden'],
    )
    return dict(
        type='VisionTransformer',
        arch=ARCHS.get(tuple(numbers.values()), numbers),
        img_size=size['img_size'],
        patch_size=size['patch_size'],
    )


def _config(size: dict, target: str) -> dict:
    if target == 'mmseg':
        return dict(
            type='VisionTransformer',
            img_size=size['img_size'],
            patch_size=size['patch_size'],
            embed_dims=size['dims'],
            num_layers=size['depth'],
            num_heads=size['heads'],
            mlp_ratio=whole(ratio(size['hidden'], size['dims']), 'mmseg'),
            patch_bias=True,
            final_norm=True,
            norm_cfg=dict(type='LN', eps=1e-6),
        )
    head = dict(type='VisionTransformerClsHead', num_classes=size['classes'], in_channels=size['dims'])
    return dict(type='ImageClassifier', backbone=_backbone(size), **(dict(head=head) if size['classes'] else {}))


def _maps(size: dict) -> dict:
    return dict(_backbone(size), out_type='featmap')


def _original(size: dict, maps: bool) -> Original:
    from timm.models.vision_transformer import VisionTransformer

    model = VisionTransformer(
        img_size=size['img_size'],
        patch_size=size['patch_size'],
        embed_dim=size['dims'],
        depth=size['depth'],
        num_heads=size['heads'],
        mlp_ratio=ratio(size['hidden'], size['dims']),
        num_classes=size['classes'] or 0,
    ).eval()

    def read(images: Tensor) -> tuple[Tensor]:
        if not maps:
            return (model(images),)
        side = size['img_size'] // size['patch_size']
        return (model.forward_features(images)[:, 1:].transpose(1, 2).unflatten(2, (side, side)),)

    return Original('timm.VisionTransformer', model.load_state_dict, read)


VIT = Family(
    label='DeiT / ViT',
    signs=dict(timm='blocks.0.attn.qkv.weight', mmpretrain='backbone.layers.0.attn.qkv.weight'),
    layouts=dict(timm=TIMM, mmpretrain=OWN),
    targets=dict(mmpretrain=None, mixpro=None, mmseg=MMSEG),
    instead=dict(
        mmdet="mmdet has no ViT of its own; in its configs type='mmpretrain.VisionTransformer' takes a file in "
        "mmpretrain's layout"
    ),
    ranks={
        'backbone.patch_embed.projection.weight': 4,
        'backbone.pos_embed': 3,
        'backbone.layers.*.ffn.layers.0.0.weight': 2,
        'head.layers.head.weight': 2,
        'head.fc.weight': 2,
    },
    measure=_measure,
    blocks=lambda size: (size['dims'], size['depth']),
    published={192: (12,), 384: (12,), 768: (12,), 1024: (24,), 1280: (32,)},
    describe=_describe,
    config=_config,
    original=_original,
    maps=_maps,
    remark=dict(
        mmseg='the defaults of mmseg are other: without patch_bias and final_norm three tensors are left behind in '
        'silence, and eps is 1e-5'
    ),
)
