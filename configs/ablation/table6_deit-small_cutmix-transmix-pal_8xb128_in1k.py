# Box of CutMix, attention labels weighted by the progressive factor.
# Paper:    Table 6, CutMix + TransMix + PAL, DeiT-S: top-1 81.1; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table6_deit-small_cutmix-transmix-pal_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_transmix_8xb128_in1k.py'

custom_hooks = [
    dict(type='mixpro_mm.LabelingHook', labeling=dict(type='ProgressiveAttentionLabeling', downsample='nearest'))
]
