# MixPro whose pasted squares are three quarters as wide as their cells, so that their borders cut through patches.
# Paper:    Table 8, C, DeiT-T: top-1 73.4; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table8_deit-tiny_c-smaller-units_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: how much smaller the units are, that they stay centred in their cells, and that labels are by PAL.
_base_ = '../pretrain/deit-tiny_mixpro_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.MixPro', alpha=1.0, patch_size=16, mask_scale=4, unit=0.75),
        ]
    )
)
