# MixPro with cells of 4 x 4 patches.
# Paper:    Figure 5 (a), 4x, DeiT-S: top-1 81.3 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/figure5a_deit-micro_scale-4_digits.py
_base_ = '../deit-micro_mixpro_digits.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', alpha=1.0, patch_size=4, mask_scale=4)]
    )
)
