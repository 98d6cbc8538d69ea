# Mask of MaskMix: cells of 4 x 4 patches; labels by area.
# Paper:    Table 7, random (4x scale), DeiT-S: top-1 80.8; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table7_deit-small_random-4x_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MaskMix', alpha=1.0, patch_size=16, mask_scale=4)]
    )
)
