# MixPro with cells shifted by half a patch, so that their edges cross patches.
# Paper:    Table 8, B, DeiT-T: top-1 73.1; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table8_deit-tiny_b-misaligned-maskmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: the shift, and labels by PAL.
_base_ = '../pretrain/deit-tiny_mixpro_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.MixPro', alpha=1.0, patch_size=16, mask_scale=4, offset=8),
        ]
    )
)
