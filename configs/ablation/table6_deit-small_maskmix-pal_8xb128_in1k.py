# MixPro whole: MaskMix labelled by PAL.
# Paper:    Table 6, MaskMix + PAL, DeiT-S: top-1 81.3; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table6_deit-small_maskmix-pal_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_mixpro_8xb128_in1k.py'
