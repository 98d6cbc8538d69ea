"""CaiT: official and timm names are the same, and mmpretrain's TimmClassifier keeps them."""

from torch import Tensor

from mixpro_mm.transfer.keys import Rule, both, itself
from mixpro_mm.transfer.layouts.family import Family, Original, count, square_side

__all__ = ['CAIT']


def _block(name: str, *layers: str) -> tuple[Rule, ...]:
    names = [f'{name}.*.{layer}' for layer in ('norm1', *layers, 'attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2')]
    gammas = (f'{name}.*.gamma_{number}' for number in (1, 2))
    return (*(Rule(gamma, (gamma,)) for gamma in gammas), *(rule for name in names for rule in both(name, name)))


TIMM = (
    Rule('cls_token', ('cls_token',)),
    Rule('pos_embed', ('pos_embed',)),
    *both('patch_embed.proj', 'patch_embed.proj'),
    *_block('blocks', 'attn.qkv', 'attn.proj_l', 'attn.proj_w'),
    *_block('blocks_token_only', 'attn.q', 'attn.k', 'attn.v'),
    *both('norm', 'norm'),
    *both('head', 'head', together='head'),
)
# (channels, blocks) -> timm's name; the published models
MODELS = {
    (192, 24): 'cait_xxs24_224',
    (192, 36): 'cait_xxs36_224',
    (288, 24): 'cait_xs24_384',
    (384, 24): 'cait_s24_224',
    (384, 36): 'cait_s36_384',
    (768, 36): 'cait_m36_384',
    (768, 48): 'cait_m48_448',
}


def _measure(tensors: dict[str, Tensor], heads: int | None) -> dict:
    head, patch_size = tensors.get('head.weight'), tensors['patch_embed.proj.weight'].shape[-1]
    return dict(
        dims=tensors['cls_token'].shape[-1],
        depth=count(tensors, 'blocks.*.gamma_1'),
        class_depth=count(tensors, 'blocks_token_only.*.gamma_1'),
        heads=len(tensors['blocks.0.attn.proj_l.bias']),
        patch_size=patch_size,
        img_size=patch_size * square_side('pos_embed', tensors['pos_embed'].shape[1]),
        classes=0 if head is None else len(head),
    )


def _describe(size: dict) -> str:
    blocks = f'{size["depth"]} + {size["class_depth"]} blocks of {size["dims"]} channels'
    return f'{blocks}, patch {size["patch_size"]}, {size["img_size"]} px'


def _numbers(size: dict) -> dict:
    return dict(
        img_size=size['img_size'],
        patch_size=size['patch_size'],
        embed_dim=size['dims'],
        depth=size['depth'],
        depth_token_only=size['class_depth'],
        num_heads=size['heads'],
        num_classes=size['classes'],
    )


def _config(size: dict, target: str) -> dict:
    name = MODELS.get((size['dims'], size['depth'])) if size['class_depth'] == 2 else None
    if name is None:
        return dict(type='TimmClassifier', model_name='cait_xxs24_224', **_numbers(size))
    return dict(type='TimmClassifier', model_name=name, img_size=size['img_size'], num_classes=size['classes'])


def _original(size: dict, maps: bool) -> Original:
    from timm.models.cait import Cait

    model = Cait(**_numbers(size)).eval()
    return Original('timm.Cait', model.load_state_dict, lambda images: (model(images),))


NO_MAPS = '{} has no CaiT, and there is none with feature maps'
CAIT = Family(
    label='CaiT',
    signs=dict(timm='blocks_token_only.0.attn.q.weight'),
    layouts=dict(timm=itself(TIMM)),
    targets=dict(mmpretrain=None, mixpro=None),
    instead=dict(mmseg=NO_MAPS.format('mmseg'), mmdet=NO_MAPS.format('mmdet')),
    ranks={
        'cls_token': 3,
        'pos_embed': 3,
        'patch_embed.proj.weight': 4,
        'blocks.*.attn.proj_l.bias': 1,
        'head.weight': 2,
    },
    measure=_measure,
    blocks=lambda size: (size['dims'], f'{size["depth"]} + {size["class_depth"]}'),
    published={width: tuple(f'{depth} + 2' for own, depth in MODELS if own == width) for width, _ in MODELS},
    heads_from='the layers between its heads',
    describe=_describe,
    config=_config,
    original=_original,
)
