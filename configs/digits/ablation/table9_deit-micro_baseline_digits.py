# MaskMix with labels by area, patches left in place.
# Paper:    Table 9, Baseline, DeiT-T: top-1 73.2 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table9_deit-micro_baseline_digits.py
# Unverified: labels by area; the baseline equals that of Table 7, which has them.
_base_ = 'table7_deit-micro_random-4x_digits.py'
