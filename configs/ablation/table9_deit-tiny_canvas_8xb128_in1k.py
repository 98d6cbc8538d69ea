# MaskMix that shuffles the patches of the canvas image.
# Paper:    Table 9, Random shuffling on the patches of the canvas image, DeiT-T: top-1 69.7; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table9_deit-tiny_canvas_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: labels by area, as in the row of Table 7 that equals the baseline.
_base_ = 'table7_deit-tiny_random-4x_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.MaskMix', alpha=1.0, patch_size=16, mask_scale=4, shuffle='canvas'),
        ]
    )
)
