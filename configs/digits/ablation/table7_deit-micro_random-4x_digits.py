# Labels by area under the mask of MaskMix: cells of whole patches.
# Paper:    Table 7, random (4x scale), DeiT-T: top-1 73.2, DeiT-S: top-1 80.8 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table7_deit-micro_random-4x_digits.py
# Cells of 2 x 2 patches: a quarter of the image along a side, about what 4 x 4 are at 224 px.
_base_ = 'table2_deit-micro_cutmix_digits.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MaskMix', alpha=1.0, patch_size=4, mask_scale=2)]
    )
)
