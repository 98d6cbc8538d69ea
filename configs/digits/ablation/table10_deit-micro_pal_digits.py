# MixPro: the factor is the cosine of prediction and label, sample by sample.
# Paper:    Table 10, PAL, DeiT-T: top-1 error 26.2 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table10_deit-micro_pal_digits.py
_base_ = '../deit-micro_mixpro_digits.py'
