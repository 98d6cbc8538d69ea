# MaskMix with TransMix's labels: half by area, half by class attention.
# Paper:    Table 6, MaskMix + TransMix, DeiT-S: top-1 81.0 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table6_deit-micro_maskmix-transmix_digits.py
_base_ = '../deit-micro_mixpro_digits.py'

custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling='AttentionLabeling')]
