# MixPro with tau from Beta(2, 2).
# Paper:    Figure 5 (b), beta 2, DeiT-S: read from a figure, not given in numbers; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/figure5b_deit-small_beta-2_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_mixpro_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', alpha=2.0, patch_size=16, mask_scale=4)]
    )
)
