# MaskMix with labels by area, patches left in place.
# Paper:    Table 9, Baseline, DeiT-T: top-1 73.2; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table9_deit-tiny_baseline_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: labels by area; the baseline equals that of Table 7, which has them.
_base_ = 'table7_deit-tiny_random-4x_8xb128_in1k.py'
