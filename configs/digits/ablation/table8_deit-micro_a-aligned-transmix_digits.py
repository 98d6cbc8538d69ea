# TransMix with the borders of its box on those of the patches.
# Paper:    Table 8, A, DeiT-T: top-1 73.1 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table8_deit-micro_a-aligned-transmix_digits.py
_base_ = 'table2_deit-micro_transmix_digits.py'

model = dict(
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.RegionMix', alpha=1.0, align=4)])
)
