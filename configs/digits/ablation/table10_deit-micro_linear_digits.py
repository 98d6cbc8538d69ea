# MaskMix labelled by class attention as far as the training has come: factor T / T_max.
# Paper:    Table 10, Linear increment, DeiT-T: top-1 error 27.1 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table10_deit-micro_linear_digits.py
_base_ = '../deit-micro_mixpro_digits.py'

custom_hooks = [
    dict(type='mixpro_mm.LabelingHook', labeling=dict(type='ProgressiveAttentionLabeling', factor='linear'))
]
