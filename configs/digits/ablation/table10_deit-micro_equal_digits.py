# MaskMix labelled half by area, half by class attention.
# Paper:    Table 10, Equal weight, DeiT-T: top-1 error 27.3 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table10_deit-micro_equal_digits.py
_base_ = '../deit-micro_mixpro_digits.py'

custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling=dict(type='ProgressiveAttentionLabeling', factor='equal'))]
