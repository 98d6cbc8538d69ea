# MixPro: the factor is the cosine of prediction and label, sample by sample.
# Paper:    Table 10, PAL, DeiT-T: top-1 error 26.2; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table10_deit-tiny_pal_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-tiny_mixpro_8xb128_in1k.py'
