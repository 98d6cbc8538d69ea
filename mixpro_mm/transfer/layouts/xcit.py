"""XCiT: official (class attention with packed qkv), timm, mmpretrain."""

from torch import Tensor

from mixpro_mm.transfer.keys import Operation, inverse
from mixpro_mm.transfer.layouts.family import classifier, count, ratio, timm_config

__all__ = ['INSTEAD', 'LABEL', 'LAYOUTS', 'PUBLISHED', 'TARGETS', 'TIMM_MODEL', 'config', 'measure']

SPLIT = Operation('split out of qkv', lambda tensor: tensor.chunk(3))
TABLE = (
    ('cls_token', 'backbone.cls_token'),
    ('patch_embed.proj.*.0.', 'backbone.patch_embed.proj.*/2.conv.'),  # an activation between two convolutions
    ('patch_embed.proj.*.1.', 'backbone.patch_embed.proj.*/2.bn.'),
    ('pos_embed.token_projection.', 'backbone.pos_embed.token_projection.conv.'),  # timm; first, for its inverse
    ('pos_embeder.token_projection.', 'backbone.pos_embed.token_projection.conv.'),
    ('blocks.*.local_mp.conv1.', 'backbone.xca_layers.*.local_mp.conv1.conv.'),
    ('blocks.*.local_mp.bn.', 'backbone.xca_layers.*.local_mp.conv1.bn.'),
    ('blocks.*.local_mp.conv2.', 'backbone.xca_layers.*.local_mp.conv2.conv.'),
    ('blocks.*.mlp.fc1.', 'backbone.xca_layers.*.ffn.layers.0.0.'),
    ('blocks.*.mlp.fc2.', 'backbone.xca_layers.*.ffn.layers.1.'),
    ('blocks.*.', 'backbone.xca_layers.*.'),
    ('cls_attn_blocks.*.attn.qkv.', tuple(f'backbone.ca_layers.*.attn.{part}.' for part in 'qkv'), SPLIT),
    ('cls_attn_blocks.*.mlp.fc1.', 'backbone.ca_layers.*.ffn.layers.0.0.'),
    ('cls_attn_blocks.*.mlp.fc2.', 'backbone.ca_layers.*.ffn.layers.1.'),
    ('cls_attn_blocks.*.', 'backbone.ca_layers.*.'),
    ('norm.', 'backbone.norm.'),
    ('head.', 'head.fc.'),
)
BOTH = ('12 + 2', '24 + 2')
LABEL = 'XCiT'
LAYOUTS = dict(
    official=('cls_attn_blocks.0.attn.qkv.weight', TABLE),
    timm=('cls_attn_blocks.0.attn.q.weight', TABLE),
    mmpretrain=('backbone.xca_layers.0.attn.qkv.weight', None),
)
TARGETS = dict(mmpretrain=None, mixpro=None, timm=inverse(TABLE))
IN_PLACE = "has no XCiT; use --to mmpretrain and type='mmpretrain.XCiT' in its config"
INSTEAD = {toolkit: f'{toolkit} {IN_PLACE}' for toolkit in ('mmseg', 'mmdet')}
PUBLISHED = {128: BOTH[:1], 192: BOTH, 384: BOTH, 512: BOTH[1:], 768: BOTH[1:]}
TIMM_MODEL = 'xcit:Xcit'
# (channels, blocks, heads) of the published models -> part of timm's name
NAMES = {(128, 12, 4): 'nano_12', (192, 12, 4): 'tiny_12', (384, 12, 8): 'small_12', (192, 24, 4): 'tiny_24'}
NAMES |= {(384, 24, 8): 'small_24', (512, 24, 8): 'medium_24', (768, 24, 16): 'large_24'}


def measure(tensors: dict[str, Tensor], heads: int | None) -> dict:
    dims = tensors['backbone.cls_token'].shape[-1]
    depth = count(tensors, 'backbone.xca_layers.*.gamma1')
    class_depth = count(tensors, 'backbone.ca_layers.*.gamma1')
    return dict(
        blocks=f'{depth} + {class_depth}',
        width=dims,
        numbers=dict(
            embed_dims=dims,
            depth=depth,
            cls_attn_layers=class_depth,
            num_heads=len(tensors['backbone.xca_layers.0.attn.temperature']),
            mlp_ratio=ratio(len(tensors['backbone.xca_layers.0.ffn.layers.0.0.weight']), dims),
            tokens_norm=dims != 128,  # not in the file; False in XCiT-nano only
        ),
        patch_size=2 ** count(tensors, 'backbone.patch_embed.proj.*.conv.weight'),
        img_size=224,  # arbitrary, because position embeddings are computed
        classes=len(tensors.get('head.fc.weight', ())),
    )


def config(size: dict, target: str) -> dict:
    if target == 'timm':
        dims, depth, class_depth, heads, mlp_ratio, tokens_norm = size['numbers'].values()
        name = NAMES.get((dims, depth, heads)) if (class_depth, mlp_ratio) == (2, 4) else None
        name = f'xcit_{name}_p{size["patch_size"]}_224' if name and size['patch_size'] in (8, 16) else None
        numbers = dict(embed_dim=dims, depth=depth, cls_attn_layers=class_depth, num_heads=heads, mlp_ratio=mlp_ratio)
        return timm_config(size, name, 'xcit_nano_12_p16_224', dict(numbers, tokens_norm=tokens_norm))
    backbone = dict(type='XCiT', patch_size=size['patch_size'], **size['numbers'])
    return classifier(size, backbone, size['width'])
