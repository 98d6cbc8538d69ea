# MaskMix with labels half by area, half by class attention.
# Paper:    Table 10, Equal weight, DeiT-T: top-1 error 27.3; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table10_deit-tiny_equal_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-tiny_mixpro_8xb128_in1k.py'

custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling=dict(type='ProgressiveAttentionLabeling', factor='equal'))]
