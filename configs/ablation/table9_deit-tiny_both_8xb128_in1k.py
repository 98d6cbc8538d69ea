# MaskMix that shuffles the patches of both images, each image separately.
# Paper:    Table 9, Both, DeiT-T: top-1 67.3; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table9_deit-tiny_both_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: labels by area, as in the row of Table 7 that equals the baseline.
_base_ = 'table7_deit-tiny_random-4x_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.MaskMix', alpha=1.0, patch_size=16, mask_scale=4, shuffle='both'),
        ]
    )
)
