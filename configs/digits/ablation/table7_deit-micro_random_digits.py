# Labels by area under a random mask: single patches.
# Paper:    Table 7, random, DeiT-T: top-1 72.7, DeiT-S: top-1 80.6 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table7_deit-micro_random_digits.py
# Unverified: the number is from TokenMix, which holds tau fixed; here it is drawn, as for the other masks.
_base_ = 'table2_deit-micro_cutmix_digits.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MaskMix', alpha=1.0, patch_size=4, mask_scale=1)]
    )
)
