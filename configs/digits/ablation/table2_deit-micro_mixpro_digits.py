# MixPro: MaskMix labelled by PAL.
# Paper:    Table 2, MixPro, DeiT-S: top-1 81.3 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table2_deit-micro_mixpro_digits.py
_base_ = '../deit-micro_mixpro_digits.py'
