# TokenMix in place of CutMix: blocks of tokens, labels by the activation of the model's own moving average, BCE.
# EMAHook tests and saves that average, as TokenMix does.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/deit-micro_tokenmix_digits-8.py
_base_ = 'deit-micro_mixpro_digits-8.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.TokenMix', patch_size=4, teacher='ema', target='bce'),
        ]
    ),
    head=dict(loss=dict(use_sigmoid=True, loss_weight=1 / 8)),  # the host sums over classes, TokenMix averages
)
custom_hooks = [dict(type='EMAHook', momentum=0.02), dict(type='mixpro_mm.LabelingHook', labeling='AreaLabeling')]
