# GridMix instead of CutMix: each of 4 x 4 cells from one of the images, labels by area.
# Paper:    Table 2, GridMix, DeiT-S: top-1 79.5; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table2_deit-small_gridmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: the grid of 4 and Beta(1, 1); the GridMix paper was not available.
_base_ = '../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.GridMix', alpha=1.0, grid=4)])
)
