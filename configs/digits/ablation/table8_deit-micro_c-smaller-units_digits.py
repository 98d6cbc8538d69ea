# MixPro whose pasted squares are three quarters as wide as their cells, so that their borders cut through patches.
# Paper:    Table 8, C, DeiT-T: top-1 73.4 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table8_deit-micro_c-smaller-units_digits.py
# Unverified: how much smaller the units are, that they stay centred in their cells, and that labels are by PAL.
_base_ = '../deit-micro_mixpro_digits.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.MixPro', alpha=1.0, patch_size=4, mask_scale=2, unit=0.75),
        ]
    )
)
