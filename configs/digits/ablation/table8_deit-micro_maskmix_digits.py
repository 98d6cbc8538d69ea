# MixPro: the borders of the cells are borders of patches.
# Paper:    Table 8, MaskMix, DeiT-T: top-1 73.8 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table8_deit-micro_maskmix_digits.py
_base_ = '../deit-micro_mixpro_digits.py'
