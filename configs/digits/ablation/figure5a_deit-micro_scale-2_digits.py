# MixPro with cells of 2 x 2 patches.
# Paper:    Figure 5 (a), 2x, DeiT-S: read from a figure, not given in numbers (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/figure5a_deit-micro_scale-2_digits.py
# A quarter of the image along a side: the default on the digits.
_base_ = '../deit-micro_mixpro_digits.py'
