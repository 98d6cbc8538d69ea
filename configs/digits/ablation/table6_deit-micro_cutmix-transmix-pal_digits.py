# CutMix's box, its attention labels weighed by the progressive factor.
# Paper:    Table 6, CutMix + TransMix + PAL, DeiT-S: top-1 81.1 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table6_deit-micro_cutmix-transmix-pal_digits.py
_base_ = 'table2_deit-micro_transmix_digits.py'

custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
