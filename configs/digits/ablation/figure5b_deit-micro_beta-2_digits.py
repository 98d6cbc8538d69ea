# MixPro with tau from Beta(2, 2).
# Paper:    Figure 5 (b), beta 2, DeiT-S: read from a figure, not given in numbers (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/figure5b_deit-micro_beta-2_digits.py
_base_ = '../deit-micro_mixpro_digits.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', alpha=2.0, patch_size=4, mask_scale=2)]
    )
)
