# MaskMix that shuffles the patches pasted from the partner.
# Paper:    Table 9, Random shuffling on the cropped patches, DeiT-T: top-1 69.8; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table9_deit-tiny_pasted_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: labels by area, as in the row of Table 7 that equals the baseline.
_base_ = 'table7_deit-tiny_random-4x_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.MaskMix', alpha=1.0, patch_size=16, mask_scale=4, shuffle='pasted'),
        ]
    )
)
