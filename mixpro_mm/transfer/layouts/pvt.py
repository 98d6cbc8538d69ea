"""PVT v1: official and SMMix (the names of mixpro_mm.PVT), our pre-trainings, mmdet."""

from torch import Tensor, nn

from mixpro_mm.backbones.pvt import ARCH, DEPTHS, PVT
from mixpro_mm.transfer.keys import Rule, both, drop, itself
from mixpro_mm.transfer.layouts.family import Family, Original, count, no_head, ratio, square_side, whole

__all__ = ['PYRAMID']

BLOCK = 'block*.*'
LAYERS = ('norm1', 'attn.q', 'attn.kv', 'attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2')
REDUCTION = ('attn.sr', 'attn.norm')
OFFICIAL = (
    Rule('cls_token', ('backbone.cls_token',)),
    *(Rule(f'pos_embed{stage}', (f'backbone.pos_embed{stage}',)) for stage in (1, 2, 3, 4)),
    *both('patch_embed*.proj', 'backbone.patch_embed*.proj'),
    *both('patch_embed*.norm', 'backbone.patch_embed*.norm'),
    *(rule for layer in LAYERS for rule in both(f'{BLOCK}.{layer}', f'backbone.{BLOCK}.{layer}')),
    *(rule for name in REDUCTION for rule in both(f'{BLOCK}.{name}', f'backbone.{BLOCK}.{name}', together='reduction')),
    *both('norm', 'backbone.norm'),
    *both('head', 'head.fc', together='head'),
    *drop('SMMix trains this second head on patches and predicts without it', 'token_head.weight', 'token_head.bias'),
)


def _stage(stage: int) -> tuple[int]:
    return (stage - 1,)


def _layer(stage: int, block: int) -> tuple[int, int]:
    return stage - 1, block + 1  # place 0 is the position embedding


def _mmdet() -> tuple[Rule, ...]:
    block, here = 'backbone.block*.*', 'layers.*.1.*'
    rules = [
        *(Rule(f'backbone.pos_embed{stage}', (f'layers.{stage - 1}.1.0.pos_embed',)) for stage in (1, 2, 3)),
        Rule(
            'backbone.pos_embed4',
            ('layers.3.1.0.pos_embed',),
            change=lambda positions: positions[:, 1:],
            how='without its class row',
        ),
        *both('backbone.patch_embed*.proj', 'layers.*.0.projection', numbers=_stage),
        *both('backbone.patch_embed*.norm', 'layers.*.0.norm', numbers=_stage),
    ]
    renamed = {'attn.proj': 'attn.attn.out_proj', 'norm1': 'norm1', 'norm2': 'norm2'}
    for source, target in renamed.items():
        rules += both(f'{block}.{source}', f'{here}.{target}', numbers=_layer)
    for name in REDUCTION:
        rules += both(f'{block}.{name}', f'{here}.{name}', numbers=_layer, together='reduction')
    for part, source in enumerate(('q', 'kv')):
        for kind in ('weight', 'bias'):
            target = (f'{here}.attn.attn.in_proj_{kind}',)
            name = f'{block}.attn.{source}.{kind}'
            rules.append(Rule(name, target, numbers=_layer, part=part, how='joined of q and kv'))
    for source, target in dict(fc1='0', fc2='3').items():
        weight, bias = both(f'{block}.mlp.{source}', f'{here}.ffn.layers.{target}', numbers=_layer)
        as_convolution = Rule(
            weight.source,
            weight.target,
            change=lambda matrix: matrix[:, :, None, None],
            how='made a 1x1 convolution',
            numbers=_layer,
        )
        rules += [as_convolution, bias]
    unused = ('cls_token', 'norm.weight', 'norm.bias')
    return (
        *rules,
        *drop("mmdet's PVT has no class token", *(f'backbone.{name}' for name in unused)),
        *no_head('mmdet', 'head.fc.weight', 'head.fc.bias'),
    )


def _measure(tensors: dict[str, Tensor], heads: int | None) -> dict:
    stages = range(1, 5)
    projections = [tensors[f'backbone.patch_embed{stage}.proj.weight'] for stage in stages]
    dims, patch_sizes = zip(*((len(weight), weight.shape[-1]) for weight in projections), strict=True)
    if any(width % dims[0] for width in dims):
        raise ValueError(f'has {dims} channels in its stages; in a PVT the first of these divides the others')
    hidden = [len(tensors[f'backbone.block{stage}.0.mlp.fc1.bias']) for stage in stages]
    reductions = [tensors.get(f'backbone.block{stage}.0.attn.sr.weight') for stage in stages]
    head = tensors.get('head.fc.weight')
    return dict(
        embed_dims=dims,
        num_heads=tuple(width // dims[0] for width in dims),  # no tensor tells it; one head in stage 1
        mlp_ratios=tuple(map(ratio, hidden, dims)),
        depths=tuple(count(tensors, f'backbone.block{stage}.*.norm1.weight') for stage in stages),
        sr_ratios=tuple(1 if weight is None else weight.shape[-1] for weight in reductions),
        patch_sizes=patch_sizes,
        img_size=patch_sizes[0] * square_side('pos_embed1', tensors['backbone.pos_embed1'].shape[1]),
        classes=None if head is None else len(head),
    )


def _describe(size: dict) -> str:
    depths, dims = ('-'.join(map(str, size[key])) for key in ('depths', 'embed_dims'))
    return f'{depths} blocks of {dims} channels, {size["img_size"]} px'


def _backbone(size: dict) -> dict:
    numbers = {key: size[key] for key in (*ARCH, 'depths')}
    named = next((name for name, depths in DEPTHS.items() if dict(ARCH, depths=depths) == numbers), None)
    return dict(type='mixpro_mm.PVT', arch=named or numbers, img_size=size['img_size'])


def _maps(size: dict) -> dict:
    return dict(_backbone(size), out_type='featmap', conv_norm_eps=1e-6)  # mmdet's PVT has one eps for all norms


def _config(size: dict, target: str) -> dict:
    if target == 'mmdet':
        same = ('num_heads', 'sr_ratios', 'patch_sizes')
        return dict(
            type='PyramidVisionTransformer',
            pretrain_img_size=size['img_size'],
            embed_dims=size['embed_dims'][0],
            num_layers=size['depths'],
            mlp_ratios=tuple(whole(number, 'mmdet') for number in size['mlp_ratios']),
            **{key: size[key] for key in same},
            strides=size['patch_sizes'],
            convert_weights=False,
        )
    head = dict(type='LinearClsHead', num_classes=size['classes'], in_channels=size['embed_dims'][3])
    return dict(type='ImageClassifier', backbone=_backbone(size), **(dict(head=head) if size['classes'] else {}))


def _original(size: dict, maps: bool) -> Original:
    settings = _maps(size) if maps else _backbone(size)
    model = PVT(**{key: value for key, value in settings.items() if key != 'type'}).eval()
    head = nn.Linear(size['embed_dims'][3], size['classes']) if size['classes'] and not maps else nn.Identity()

    def load(tensors: dict[str, Tensor]) -> None:
        model.load_state_dict(tensors)
        if isinstance(head, nn.Linear):
            head.load_state_dict({kind: tensors[f'head.{kind}'] for kind in ('weight', 'bias')})

    return Original('mixpro_mm.PVT', load, lambda images: model(images) if maps else (head(model(images)[0]),))


PYRAMID = Family(
    label='PVT',
    signs=dict(official='block1.0.attn.kv.weight', mmpretrain='backbone.block1.0.attn.kv.weight'),
    layouts=dict(official=OFFICIAL, mmpretrain=itself(OFFICIAL)),
    targets=dict(mixpro=None, mmpretrain=None, mmdet=_mmdet()),
    instead=dict(mmseg="mmseg has no PVT; in its configs type='mixpro_mm.PVT' takes a file made with --to mixpro"),
    ranks={
        'backbone.patch_embed*.proj.weight': 4,
        'backbone.pos_embed*': 3,
        'backbone.block*.*.attn.q.weight': 2,
        'backbone.block*.*.attn.kv.weight': 2,
        'backbone.block*.*.attn.sr.weight': 4,
        'backbone.block*.*.mlp.fc1.weight': 2,
        'backbone.block*.*.mlp.fc1.bias': 1,
        'backbone.block*.*.mlp.fc2.weight': 2,
        'head.fc.weight': 2,
    },
    measure=_measure,
    blocks=lambda size: (size['embed_dims'], size['depths']),
    published={ARCH['embed_dims']: tuple(DEPTHS.values())},
    describe=_describe,
    config=_config,
    original=_original,
    maps=_maps,
    remark=dict(
        mmpretrain='mmpretrain has no PVT, so this is the file that --to mixpro makes, for mixpro_mm.PVT',
        mmdet="mmdet's PVT has eps 1e-6 in all norms, the official one 1e-5 behind convolutions; proved with 1e-6 in "
        'both, mixpro_mm.PVT keeps the official values',
    ),
    heads_from='the widths of its stages, with one head in the first',
    needs_timm=False,
)
