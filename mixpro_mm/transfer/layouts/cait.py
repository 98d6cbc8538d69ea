"""CaiT: mmpretrain's TimmClassifier, timm and the official code use the same names."""

from torch import Tensor

from mixpro_mm.transfer.layouts.family import count, square_side

__all__ = ['INSTEAD', 'LABEL', 'LAYOUTS', 'PUBLISHED', 'TARGETS', 'TIMM_MODEL', 'config', 'measure']

# (channels, blocks) of the published models -> suffix of timm's name
MODELS = {(192, 24): 'xxs24_224', (192, 36): 'xxs36_224', (288, 24): 'xs24_384', (384, 24): 's24_224'}
MODELS |= {(384, 36): 's36_384', (768, 36): 'm36_384', (768, 48): 'm48_448'}
LABEL = 'CaiT'
LAYOUTS = dict(timm=('blocks_token_only.0.attn.q.weight', None))
TARGETS = dict(mmpretrain=None, mixpro=None, timm=None)
INSTEAD = {toolkit: f'{toolkit} has no CaiT, and no CaiT has feature maps' for toolkit in ('mmseg', 'mmdet')}
PUBLISHED = {width: tuple(f'{depth} + 2' for own, depth in MODELS if own == width) for width, _ in MODELS}
TIMM_MODEL = 'cait:Cait'


def measure(tensors: dict[str, Tensor], heads: int | None) -> dict:
    patch_size, dims = tensors['patch_embed.proj.weight'].shape[-1], tensors['cls_token'].shape[-1]
    depth, class_depth = (count(tensors, f'{name}.*.gamma_1') for name in ('blocks', 'blocks_token_only'))
    heads = len(tensors['blocks.0.attn.proj_l.bias'])
    return dict(
        blocks=f'{depth} + {class_depth}',
        width=dims,
        numbers=dict(embed_dim=dims, depth=depth, depth_token_only=class_depth, num_heads=heads),
        patch_size=patch_size,
        img_size=patch_size * square_side('pos_embed', tensors['pos_embed'].shape[1]),
        classes=len(tensors.get('head.weight', ())),
    )


def config(size: dict, target: str) -> dict:
    numbers = size['numbers']
    name = MODELS.get((size['width'], numbers['depth'])) if numbers['depth_token_only'] == 2 else None
    numbers = {} if name else dict(numbers, patch_size=size['patch_size'])
    numbers |= dict(img_size=size['img_size'], num_classes=size['classes'])
    name = f'cait_{name or MODELS[192, 24]}'
    return dict(dict(type=name) if target == 'timm' else dict(type='TimmClassifier', model_name=name), **numbers)
