# MixPro: the borders of the cells are borders of patches.
# Paper:    Table 8, MaskMix, DeiT-T: top-1 73.8; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table8_deit-tiny_maskmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-tiny_mixpro_8xb128_in1k.py'
