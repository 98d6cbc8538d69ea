# MixPro with tau from Beta(0.5, 0.5).
# Paper:    Figure 5 (b), beta 0.5, DeiT-S: read from a figure, not given in numbers (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/figure5b_deit-micro_beta-0.5_digits.py
_base_ = '../deit-micro_mixpro_digits.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', alpha=0.5, patch_size=4, mask_scale=2)]
    )
)
