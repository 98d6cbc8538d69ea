# MaskMix with patches that change places: those that still show the sample.
# Paper:    Table 9, Random shuffling on the patches of the canvas image, DeiT-T: top-1 69.7 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table9_deit-micro_canvas_digits.py
# Unverified: labels by area; the baseline equals that of Table 7, which has them.
_base_ = 'table7_deit-micro_random-4x_digits.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.MaskMix', alpha=1.0, patch_size=4, mask_scale=2, shuffle='canvas'),
        ]
    )
)
