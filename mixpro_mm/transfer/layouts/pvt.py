"""PVT v1: official and SMMix (the names of mixpro_mm.PVT), transformers, mmpretrain, mmdet."""

from torch import Tensor

from mixpro_mm.models.pvt import ARCH, DEPTHS
from mixpro_mm.transfer.keys import Operation
from mixpro_mm.transfer.layouts.family import (
    EXTRA,
    NO_HEAD,
    classifier,
    count,
    joined,
    of_transformers,
    ratio,
    square_side,
    whole,
)

__all__ = ['INSTEAD', 'LABEL', 'LAYOUTS', 'PUBLISHED', 'TARGETS', 'TIMM_MODEL', 'config', 'measure']

OFFICIAL = (*EXTRA, ('head.', 'head.fc.'), ('', 'backbone.'))
BLOCK, HERE = 'backbone.block*.*.', 'layers.*-1.1.*+1.'  # index 0 is the position embedding in mmdet
CONVOLUTION = Operation('made a 1x1 convolution', lambda matrix: matrix[:, :, None, None])
MMDET = (
    ('backbone.pos_embed4', 'layers.3.1.0.pos_embed', Operation('without its class row', lambda rows: rows[:, 1:])),
    ('backbone.pos_embed*', 'layers.*-1.1.0.pos_embed'),
    ('backbone.patch_embed*.proj.', 'layers.*-1.0.projection.'),
    ('backbone.patch_embed*.norm.', 'layers.*-1.0.norm.'),
    (f'{BLOCK}attn.q.', f'{HERE}attn.attn.in_proj_', Operation('joined of q and kv')),
    (f'{BLOCK}attn.kv.', f'{HERE}attn.attn.in_proj_', Operation('joined of q and kv', part=1)),
    (f'{BLOCK}attn.proj.', f'{HERE}attn.attn.out_proj.'),
    (f'{BLOCK}mlp.fc1.weight', f'{HERE}ffn.layers.0.weight', CONVOLUTION),
    (f'{BLOCK}mlp.fc1.', f'{HERE}ffn.layers.0.'),
    (f'{BLOCK}mlp.fc2.weight', f'{HERE}ffn.layers.3.weight', CONVOLUTION),
    (f'{BLOCK}mlp.fc2.', f'{HERE}ffn.layers.3.'),
    (BLOCK, HERE),
    ('backbone.cls_token', None, "mmdet's PVT has no class token"),
    ('backbone.norm.', None, "mmdet's PVT has no class token"),
    NO_HEAD['mmdet'],
)
EMBED, LAYER, STAGE = 'encoder.patch_embeddings.*.', 'encoder.block.*.*.', 'backbone.block*+1.*.'
TRANSFORMERS = (
    (f'{EMBED}projection.', 'backbone.patch_embed*+1.proj.'),
    (f'{EMBED}layer_norm.', 'backbone.patch_embed*+1.norm.'),
    (f'{EMBED}position_embeddings', 'backbone.pos_embed*+1'),
    ('encoder.patch_embeddings.3.cls_token', 'backbone.cls_token'),
    (f'{LAYER}attention.self.query.', f'{STAGE}attn.q.'),
    *joined(f'{LAYER}attention.self.', ('key', 'value'), f'{STAGE}attn.kv.'),
    (f'{LAYER}attention.self.sequence_reduction.', f'{STAGE}attn.sr.'),
    (f'{LAYER}attention.self.layer_norm.', f'{STAGE}attn.norm.'),
    (f'{LAYER}attention.output.dense.', f'{STAGE}attn.proj.'),
    (f'{LAYER}layer_norm_', f'{STAGE}norm'),
    (f'{LAYER}mlp.dense', f'{STAGE}mlp.fc'),
    ('encoder.layer_norm.', 'backbone.norm.'),
)
STAGES = (1, 2, 3, 4)
LABEL = 'PVT'
LAYOUTS = dict(official=('block1.0.attn.kv.weight', OFFICIAL), mmpretrain=('backbone.block1.0.attn.kv.weight', None))
LAYOUTS |= of_transformers('pvt', 'encoder.block.0.0.attention.self.query.weight', TRANSFORMERS)
TARGETS = dict(mixpro=None, mmpretrain=None, mmdet=MMDET)
INSTEAD = dict(mmseg="mmseg has no PVT; use --to mixpro and type='mixpro_mm.PVT' in its config")
INSTEAD |= dict(timm='timm has PVT v2 only')
PUBLISHED = {'-'.join(map(str, ARCH['embed_dims'])): tuple('-'.join(map(str, depths)) for depths in DEPTHS.values())}
TIMM_MODEL = ''


def measure(tensors: dict[str, Tensor], heads: int | None) -> dict:
    projections = [tensors[f'backbone.patch_embed{stage}.proj.weight'] for stage in STAGES]
    dims, patch_sizes = zip(*((len(weight), weight.shape[-1]) for weight in projections), strict=True)
    if any(width % dims[0] for width in dims):
        raise ValueError(f'has {dims} channels in its stages; in a PVT the first number divides the others')
    hidden = [len(tensors[f'backbone.block{stage}.0.mlp.fc1.bias']) for stage in STAGES]
    reductions = [tensors.get(f'backbone.block{stage}.0.attn.sr.weight') for stage in STAGES]
    depths = tuple(count(tensors, f'backbone.block{stage}.*.norm1.weight') for stage in STAGES)
    return dict(
        blocks='-'.join(map(str, depths)),
        width='-'.join(map(str, dims)),
        numbers=dict(
            embed_dims=dims,
            num_heads=tuple(width // dims[0] for width in dims),  # not in the file; stage 1 has one head
            mlp_ratios=tuple(map(ratio, hidden, dims)),
            sr_ratios=tuple(1 if weight is None else weight.shape[-1] for weight in reductions),
            patch_sizes=patch_sizes,
            depths=depths,
        ),
        patch_size=patch_sizes[0],
        img_size=patch_sizes[0] * square_side('pos_embed1', tensors['backbone.pos_embed1'].shape[1]),
        classes=len(tensors.get('head.fc.weight', ())),
    )


def _backbone(size: dict, **more) -> dict:
    named = next((name for name, depths in DEPTHS.items() if dict(ARCH, depths=depths) == size['numbers']), None)
    return dict(type='mixpro_mm.PVT', arch=named or size['numbers'], img_size=size['img_size'], **more)


def config(size: dict, target: str) -> dict:
    numbers = size['numbers']
    if target != 'mmdet':
        return classifier(size, _backbone(size), numbers['embed_dims'][3])
    return dict(
        type='PyramidVisionTransformer',
        pretrain_img_size=size['img_size'],
        embed_dims=numbers['embed_dims'][0],
        num_layers=numbers['depths'],
        mlp_ratios=tuple(whole(number, 'mmdet') for number in numbers['mlp_ratios']),
        **{key: numbers[key] for key in ('num_heads', 'sr_ratios', 'patch_sizes')},
        strides=numbers['patch_sizes'],
        convert_weights=False,
    )


def maps(size: dict) -> dict:
    return _backbone(size, out_type='featmap', conv_norm_eps=1e-6)  # mmdet's PVT has one eps for all norms
