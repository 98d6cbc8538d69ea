# All rows of Tables 2 and 6 to 10 and all points of Figure 5 on the digits, and two methods without a row: DeiT-micro, 50
# epochs, one stage per row, a few minutes each on one core. A stage is deit-micro_mixpro_digits.py with the cfg_options
# given here. Rows of different tables with the same model are trained once per table.
# Run:      python tools/study.py configs/digits/study_ablation.py
# A part:   python tools/study.py configs/digits/study_ablation.py --only 'table2_*'
# Unverified: as in configs/ablation, which has the same rows on ImageNet-1k.
_base_ = 'extractor_resnet-micro_digits.py'  # for its model

title = 'The ablation of MixPro on embedded digits'
seed = 0
jobs = 0  # one per visible GPU, else one per core

mixup, cut = dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)
box = dict(type='mixpro_mm.RegionMix', alpha=1.0)
cells = dict(alpha=1.0, patch_size=4, mask_scale=2)  # a quarter of the image side
mask_mix, mix_pro = dict(type='mixpro_mm.MaskMix', **cells), dict(type='mixpro_mm.MixPro', **cells)
smooth = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
pal = dict(type='mixpro_mm.LabelingHook')
attention, area = dict(pal, labeling='AttentionLabeling'), dict(pal, labeling='AreaLabeling')
factor = {
    name: dict(pal, labeling=dict(type='ProgressiveAttentionLabeling', factor=name))
    for name in ('equal', 'linear', 'parabolic', 'learnable')
}
cnn = 'work_dirs/extractor_resnet-micro_digits'  # extractor of Attentive-CutMix


def mixing(method, *hooks, **options):
    return {'model.train_cfg.augments': [mixup, method], 'custom_hooks': [*hooks]} | options


cutmix, transmix, mixpro = mixing(cut), mixing(box, attention), {}
rows = dict(
    table2=dict(
        baseline={'model.train_cfg.augments': [mixup], 'model.train_cfg.probs': [1.0], 'custom_hooks': []},
        gridmix=mixing(dict(type='mixpro_mm.GridMix', alpha=1.0, grid=4)),
        cutmix=cutmix,
        saliencymix=mixing(dict(type='mixpro_mm.SaliencyMix', alpha=1.0)),
        # without blocks of 2 px, which are smaller than a patch
        puzzlemix=mixing(dict(type='mixpro_mm.PuzzleMix', alpha=1.0, blocks=[2, 4, 8]), area),
        transmix=transmix,
        mixpro=mixpro,
    ),
    table6={
        'cutmix': cutmix,
        'cutmix-transmix': transmix,
        'maskmix-transmix': {'custom_hooks': [attention]},
        'cutmix-transmix-pal': mixing(box, pal),
        'maskmix-pal': mixpro,
    },
    table7={
        'region': cutmix,
        'block': mixing(dict(type='mixpro_mm.BlockMix', alpha=1.0, patch_size=4, min_patches=5)),
        'random': mixing(dict(mask_mix, mask_scale=1)),
        'random-4x': mixing(mask_mix),
    },
    table8={
        'transmix': transmix,
        'a-aligned-transmix': mixing(dict(box, align=4), attention),
        'b-misaligned-maskmix': mixing(dict(mix_pro, offset=2), pal),
        'c-smaller-units': mixing(dict(mix_pro, unit=0.75), pal),
        'maskmix': mixpro,
    },
    table9=dict(baseline=mixing(mask_mix))
    | {what: mixing(dict(mask_mix, shuffle=what)) for what in ('pasted', 'canvas', 'both')},
    table10={name: {'custom_hooks': [factor[name]]} for name in ('equal', 'linear', 'parabolic', 'learnable')}
    | dict(pal=mixpro),
    # scale 7 is 28 of 32 px: one whole cell and cropped ones
    figure5a={f'scale-{n}': mixing(dict(mix_pro, mask_scale=n), pal) if n != 2 else mixpro for n in (1, 2, 4, 7)},
    figure5b={f'beta-{a}': mixing(dict(mix_pro, alpha=float(a)), pal) if a != 1 else mixpro for a in (0.5, 0.8, 1, 2)},
)
# pastes 2 of 16 cells, as 6 of 49 on ImageNet
rows['table2']['attentive-cutmix'] = mixing(
    dict(
        type='mixpro_mm.AttentiveCutMix',
        extractor=_base_.model,
        checkpoint=f'{cnn}/epoch_15.pth',
        top_k=2,
        grid=4,
    )
)
# the teacher is the moving average of the model, which EMAHook validates and saves
rows['table2']['tokenmix'] = mixing(
    dict(type='mixpro_mm.TokenMix', patch_size=4, teacher='ema', target='bce'),
    dict(type='EMAHook', momentum=0.02),
    area,
) | {'model.head.loss.use_sigmoid': True, 'model.head.loss.loss_weight': 1 / 10}  # mean over the classes
# additional row with the loss on local context: each of 4 x 4 cells is classified
rows['table2']['gridmix-local'] = rows['table2']['gridmix'] | {
    'custom_hooks': [area],
    'model.head.loss': dict(
        _delete_=True,
        type='mixpro_mm.LocalContextLoss',
        loss=smooth,
        in_channels=64,
        num_classes=10,
        weight=0.15,
        grid=4,
    ),
}
# a parameter without weight decay
rows['table10']['learnable'] |= {
    'model.head.loss': dict(_delete_=True, type='mixpro_mm.LearnableFactor', loss=smooth),
    'optim_wrapper.paramwise_cfg.custom_keys.raw_factor.decay_mult': 0.0,
}
# methods of the paper's related work without a row
others = {
    'manifold-mixup': mixing(dict(type='mixpro_mm.ManifoldMixup'), area),
    'mixtoken': mixing(dict(type='mixpro_mm.MixToken', patch_size=4), area),
}
columns = dict(table7='deit-micro', table10='error')  # default: top1

train_cnn = ['-m', 'mixpro_mm.study.stage', 'configs/digits/extractor_resnet-micro_digits.py', '--work-dir', cnn]
stages = [dict(name='extractor', command=[*train_cnn, '--seed', '100'], creates=f'{cnn}/epoch_15.pth')]
digits = dict(config='deit-micro_mixpro_digits.py', task='classification', backbone='DeiT-micro', data='digits')
stages += [
    dict(
        name=f'{table}_{row}',
        pretraining=f'{table}_{row}',
        cfg_options=options,
        needs=['extractor'] if row == 'attentive-cutmix' else [],
        cells=[(table, row, columns.get(table, 'top1'))],
        **digits,
    )
    for table, recipes in rows.items()
    for row, options in recipes.items()
]
stages += [dict(name=f'other_{row}', pretraining=row, cfg_options=options, **digits) for row, options in others.items()]
