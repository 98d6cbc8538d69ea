# MixPro whole: MaskMix labelled by PAL.
# Paper:    Table 6, MaskMix + PAL, DeiT-S: top-1 81.3 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table6_deit-micro_maskmix-pal_digits.py
_base_ = '../deit-micro_mixpro_digits.py'
