# MaskMix with labels by class attention with the factor T / T_max.
# Paper:    Table 10, Linear increment, DeiT-T: top-1 error 27.1; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table10_deit-tiny_linear_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-tiny_mixpro_8xb128_in1k.py'

custom_hooks = [
    dict(type='mixpro_mm.LabelingHook', labeling=dict(type='ProgressiveAttentionLabeling', factor='linear'))
]
