# MixPro with cells of 4 x 4 patches.
# Paper:    Figure 5 (a), 4x, DeiT-S: top-1 81.3; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/figure5a_deit-small_scale-4_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_mixpro_8xb128_in1k.py'
