# GridMix in place of CutMix: each of 4 x 4 cells from either image, labels by area.
# Paper:    Table 2, GridMix, DeiT-S: top-1 79.5 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table2_deit-micro_gridmix_digits.py
# Unverified: the grid of 4 and the Beta(1, 1); the GridMix paper is not open to us.
_base_ = 'table2_deit-micro_cutmix_digits.py'

model = dict(
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.GridMix', alpha=1.0, grid=4)])
)
