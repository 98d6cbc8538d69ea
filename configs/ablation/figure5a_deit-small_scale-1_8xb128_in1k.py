# MixPro with cells of one patch.
# Paper:    Figure 5 (a), 1x, DeiT-S: read from a figure, not given in numbers; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/figure5a_deit-small_scale-1_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_mixpro_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', alpha=1.0, patch_size=16, mask_scale=1)]
    )
)
