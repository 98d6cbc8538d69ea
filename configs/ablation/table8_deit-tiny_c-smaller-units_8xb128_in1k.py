# MixPro with pasted squares of three quarters of the cell width, so that their edges cross patches.
# Paper:    Table 8, C, DeiT-T: top-1 73.4; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table8_deit-tiny_c-smaller-units_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: the size of the squares, their position at the centre of the cells, and labels by PAL.
_base_ = '../pretrain/deit-tiny_mixpro_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.MixPro', alpha=1.0, patch_size=16, mask_scale=4, unit=0.75),
        ]
    )
)
