# MixPro: MaskMix labelled by PAL.
# Paper:    Table 2, MixPro, DeiT-S: top-1 81.3; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table2_deit-small_mixpro_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_mixpro_8xb128_in1k.py'
