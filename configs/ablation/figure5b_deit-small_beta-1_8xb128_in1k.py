# MixPro with tau from Beta(1, 1).
# Paper:    Figure 5 (b), beta 1, DeiT-S: top-1 81.3; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/figure5b_deit-small_beta-1_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_mixpro_8xb128_in1k.py'
