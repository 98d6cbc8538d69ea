# MixPro with its cells moved by half a patch, so that their borders cut through patches.
# Paper:    Table 8, B, DeiT-T: top-1 73.1 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table8_deit-micro_b-misaligned-maskmix_digits.py
# Unverified: how far the cells are moved, and that labels are by PAL.
_base_ = '../deit-micro_mixpro_digits.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.MixPro', alpha=1.0, patch_size=4, mask_scale=2, offset=2),
        ]
    )
)
