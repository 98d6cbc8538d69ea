# MixPro with tau from Beta(1, 1).
# Paper:    Figure 5 (b), beta 1, DeiT-S: top-1 81.3 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/figure5b_deit-micro_beta-1_digits.py
_base_ = '../deit-micro_mixpro_digits.py'
