"""DeiT and ViT with a class token: official, timm, SMMix, MixPro, TransMix, transformers, mmpretrain, mmseg."""

from torch import Tensor

from mixpro_mm.transfer.keys import inverse
from mixpro_mm.transfer.layouts.family import (
    EXTRA,
    NO_HEAD,
    classifier,
    count,
    joined,
    of_transformers,
    ratio,
    square_side,
    timm_config,
    whole,
)

__all__ = ['INSTEAD', 'LABEL', 'LAYOUTS', 'PUBLISHED', 'TARGETS', 'TIMM_MODEL', 'config', 'measure']

TIMM = (
    ('cls_token', 'backbone.cls_token'),
    ('pos_embed', 'backbone.pos_embed'),
    ('patch_embed.proj.', 'backbone.patch_embed.projection.'),
    ('blocks.*.norm1.', 'backbone.layers.*.ln1.'),
    ('blocks.*.attn.', 'backbone.layers.*.attn.'),
    ('blocks.*.norm2.', 'backbone.layers.*.ln2.'),
    ('blocks.*.mlp.fc1.', 'backbone.layers.*.ffn.layers.0.0.'),
    ('blocks.*.mlp.fc2.', 'backbone.layers.*.ffn.layers.1.'),
    ('norm.', 'backbone.ln1.'),
    ('head.', 'head.layers.head.'),
    *EXTRA,
)
LAYER = 'encoder.layer.*.'
TRANSFORMERS = (
    ('embeddings.cls_token', 'backbone.cls_token'),
    ('embeddings.position_embeddings', 'backbone.pos_embed'),
    ('embeddings.patch_embeddings.projection.', 'backbone.patch_embed.projection.'),
    ('embeddings.mask_token', None, 'for masked image modeling'),
    *joined(f'{LAYER}attention.attention.', ('query', 'key', 'value'), 'backbone.layers.*.attn.qkv.'),
    (f'{LAYER}attention.output.dense.', 'backbone.layers.*.attn.proj.'),
    (f'{LAYER}layernorm_before.', 'backbone.layers.*.ln1.'),
    (f'{LAYER}layernorm_after.', 'backbone.layers.*.ln2.'),
    (f'{LAYER}intermediate.dense.', 'backbone.layers.*.ffn.layers.0.0.'),
    (f'{LAYER}output.dense.', 'backbone.layers.*.ffn.layers.1.'),
    ('layernorm.', 'backbone.ln1.'),
    ('pooler.', None, 'not used by a classifier'),
)
MMSEG = (
    ('backbone.layers.*.attn.qkv.', 'layers.*.attn.attn.in_proj_'),
    ('backbone.layers.*.attn.proj.', 'layers.*.attn.attn.out_proj.'),
    ('backbone.', ''),  # mmseg's class ignores the prefix of init_cfg
    NO_HEAD['mmseg'],
)
ARCHS = {(192, 12, 3, 768): 'deit-tiny', (384, 12, 6, 1536): 'deit-small', (768, 12, 12, 3072): 'deit-base'}
LABEL = 'DeiT / ViT'
LAYOUTS = dict(timm=('blocks.0.attn.qkv.weight', TIMM), mmpretrain=('backbone.layers.0.attn.qkv.weight', None))
LAYOUTS |= of_transformers('vit', 'encoder.layer.0.attention.attention.query.weight', TRANSFORMERS, 'head.layers.head.')
TARGETS = dict(mmpretrain=None, mixpro=None, mmseg=MMSEG, timm=(*inverse(TIMM), ('head.fc.', 'head.')))
INSTEAD = dict(mmdet="mmdet has no ViT; use --to mmpretrain and type='mmpretrain.VisionTransformer' in its config")
PUBLISHED = {192: ('12',), 384: ('12',), 768: ('12',), 1024: ('24',), 1280: ('32',)}
TIMM_MODEL = 'vision_transformer:VisionTransformer'


def measure(tensors: dict[str, Tensor], heads: int | None) -> dict:
    dims, patch_size = tensors['backbone.patch_embed.projection.weight'].shape[::3]
    if heads is None and dims % 64:  # not in the file; every DeiT has 64 channels per head
        raise ValueError(f'has {dims} channels, not a multiple of 64: give the number of heads with --heads')
    heads = dims // 64 if heads is None else heads
    if heads < 1 or dims % heads:
        raise ValueError(f'has {dims} channels, which {heads} heads (--heads) do not divide')
    depth = count(tensors, 'backbone.layers.*.ln1.weight')
    hidden = len(tensors['backbone.layers.0.ffn.layers.0.0.weight'])
    head = 'head.fc.weight' if 'head.fc.weight' in tensors else 'head.layers.head.weight'
    return dict(
        blocks=str(depth),
        width=dims,
        numbers=dict(embed_dims=dims, num_layers=depth, num_heads=heads, mlp_ratio=ratio(hidden, dims)),
        hidden=hidden,
        patch_size=patch_size,
        img_size=patch_size * square_side('pos_embed', tensors['backbone.pos_embed'].shape[1] - 1),
        classes=len(tensors.get(head, ())),
        head='LinearClsHead' if head == 'head.fc.weight' else 'VisionTransformerClsHead',
    )


def _backbone(size: dict, **more) -> dict:
    dims, depth, heads, _ = size['numbers'].values()
    arch = dict(embed_dims=dims, num_layers=depth, num_heads=heads, feedforward_channels=size['hidden'])
    arch = ARCHS.get(tuple(arch.values()), arch)
    return dict(type='VisionTransformer', arch=arch, img_size=size['img_size'], patch_size=size['patch_size'], **more)


def config(size: dict, target: str) -> dict:
    if target == 'timm':
        dims, depth, heads, mlp_ratio = size['numbers'].values()
        name = ARCHS.get((dims, depth, heads, size['hidden'])) if size['patch_size'] == 16 else None
        name = name and f'{name.replace("-", "_")}_patch16_224'
        numbers = dict(embed_dim=dims, depth=depth, num_heads=heads, mlp_ratio=mlp_ratio)
        return timm_config(size, name, 'deit_tiny_patch16_224', numbers)
    if target != 'mmseg':
        return classifier(size, _backbone(size), size['width'], size['head'])
    numbers = dict(size['numbers'], mlp_ratio=whole(size['numbers']['mlp_ratio'], 'mmseg'))
    numbers |= dict(patch_bias=True, final_norm=True, norm_cfg=dict(type='LN', eps=1e-6))
    return dict(type='VisionTransformer', img_size=size['img_size'], patch_size=size['patch_size'], **numbers)


def maps(size: dict) -> dict:
    return _backbone(size, out_type='featmap')
