# Rows of Tables 6, 7 and 10 and points of Figure 5 on Fashion-MNIST: DeiT-micro with the data and steps of
# study_fashion_evidence.py, which has the rows of whole methods. A row is deit-micro_mixpro_fashion.py with the
# cfg_options given here; one seed, three for the rows that separate MaskMix from progressive labels. Also methods of the
# related work of the paper with one seed, and three methods on eight classes, three seeds, tested with dresses and
# sneakers as unknown classes.
# Run:      python tools/study.py configs/fashion/study_fashion_ablation.py
_base_ = '../_base_/fashion_methods.py'

title = 'Parts of MixPro on Fashion-MNIST'
about = """Rows of Tables 6, 7 and 10 and points of Figure 5 that change one part of MixPro, with one seed, three for Table 6.
Data, model and steps are those of the main study, which has the rows of whole methods.

Manifold Mixup, MixToken, GridMix and PatchMix, from the related work of the paper, also have one seed. GridMix has 7 x 7
cells and the loss of the other methods; PatchMix has 4 x 4 cells and LocalContextLoss in addition. 'DeiT-micro, 8 classes'
was trained without dresses and sneakers and tested on the 8,000 images of its classes; dresses and sneakers are its
unknown classes, nearer to the training data than digits (AUPR of a random score: 20)."""
seed = 0
jobs = 0  # one per visible GPU, else one per core

mixup, box, attention = _base_.mixup, _base_.box, _base_.attention
cells, pal = dict(alpha=1.0, patch_size=4, mask_scale=2), dict(type='mixpro_mm.LabelingHook')
mask_mix, mix_pro = dict(type='mixpro_mm.MaskMix', **cells), dict(type='mixpro_mm.MixPro', **cells)
block = dict(type='mixpro_mm.BlockMix', alpha=1.0, patch_size=4, min_patches=5)
augments, hooks = 'model.train_cfg.augments', 'custom_hooks'
labeling = dict(type='ProgressiveAttentionLabeling')
smooth = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
rows = dict(
    table6={
        'cutmix-transmix-pal': {augments: [mixup, box], hooks: [pal]},
        'maskmix-transmix': {hooks: [attention]},
    },
    table7={
        'block': {augments: [mixup, block], hooks: []},
        'random': {augments: [mixup, dict(mask_mix, mask_scale=1)], hooks: []},
    },
    table10={
        name: {hooks: [dict(pal, labeling=dict(labeling, factor=name))]}
        for name in ('equal', 'linear', 'parabolic', 'learnable')
    },
    figure5a={f'scale-{n}': {augments: [mixup, dict(mix_pro, mask_scale=n)]} for n in (1, 4)},
    figure5b={f'beta-{a}': {augments: [mixup, dict(mix_pro, alpha=float(a))]} for a in (0.5, 0.8, 2)},
)
# a parameter without weight decay
rows['table10']['learnable'] |= {
    'model.head.loss': dict(_delete_=True, type='mixpro_mm.LearnableFactor', loss=smooth),
    'optim_wrapper.paramwise_cfg.custom_keys.raw_factor.decay_mult': 0.0,
}
columns = dict(table6='top1', table7='deit-micro')  # default: error

images = 'data/fashion-mnist'
stages = [dict(name='fashion', command=['-m', 'mixpro_mm.datasets.fashion_mnist', images], creates=images)]
stages += [
    dict(
        name=f'{table}_{row}',
        config='deit-micro_mixpro_fashion.py',
        task='classification',
        backbone='DeiT-micro',
        pretraining=f'{table}_{row}',
        cfg_options=_base_.deit_schedule | options,
        needs=['fashion'],
        seeds=3 if table == 'table6' else 1,
        cells=[(table, row, columns.get(table, 'error'))],
        data='Fashion-MNIST',
    )
    for table, recipes in rows.items()
    for row, options in recipes.items()
]
of_cells = dict(_delete_=True, type='mixpro_mm.LocalContextLoss', loss=smooth, in_channels=64, num_classes=10)
others = {
    'manifold-mixup': {augments: [mixup, dict(type='mixpro_mm.ManifoldMixup')]},
    'mixtoken': {augments: [mixup, dict(type='mixpro_mm.MixToken', patch_size=4)]},
    'gridmix': {augments: [mixup, dict(type='mixpro_mm.GridMix', grid=7)]},
    'patchmix': {
        augments: [mixup, dict(type='mixpro_mm.PatchMix')],
        'model.head.loss': of_cells,
        'model.backbone.type': 'VisionTransformer',  # the loss is on patch tokens
    },
}
stages += [
    dict(
        name=f'method_{method}',
        config='deit-micro_mixpro_fashion.py',
        task='classification',
        backbone='DeiT-micro',
        pretraining=method,
        cfg_options=_base_.deit_schedule | options | {hooks: [_base_.area]},
        needs=['fashion'],
        data='Fashion-MNIST',
    )
    for method, options in others.items()
]
stages += [
    dict(
        name=f'near_{method}',
        config='evidence/deit-micro_mixpro_fashion-8.py',
        task='classification',
        backbone='DeiT-micro, 8 classes',
        pretraining=method,
        cfg_options=_base_.deit_schedule | _base_.methods[method],
        evaluations=dict(O='../robustness/deit-micro_fashion-o-near.py'),
        needs=['fashion'],
        seeds=3,
        data='Fashion-MNIST',
    )
    for method in ('cutmix', 'transmix', 'mixpro')
]
