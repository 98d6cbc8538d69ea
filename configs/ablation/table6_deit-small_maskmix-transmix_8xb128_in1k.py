# MaskMix with the labels of TransMix: half by area, half by class attention.
# Paper:    Table 6, MaskMix + TransMix, DeiT-S: top-1 81.0; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table6_deit-small_maskmix-transmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_mixpro_8xb128_in1k.py'

custom_hooks = [dict(type='mixpro_mm.LabelingHook', labeling=dict(type='AttentionLabeling', downsample='nearest'))]
