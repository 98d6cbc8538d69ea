# TokenMix in place of CutMix: blocks of tokens, labels by a teacher's activation, binary cross entropy.
# Paper:    Table 2, TokenMix, DeiT-S: top-1 80.8 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table2_deit-micro_tokenmix_digits.py
# The teacher is the moving average of the model itself; EMAHook validates and saves that average.
_base_ = 'table2_deit-micro_cutmix_digits.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.TokenMix', patch_size=4, teacher='ema', target='bce'),
        ]
    ),
    head=dict(loss=dict(use_sigmoid=True, loss_weight=1 / 10)),  # the host sums over classes, TokenMix averages
)
custom_hooks = [dict(type='EMAHook', momentum=0.02), dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]
