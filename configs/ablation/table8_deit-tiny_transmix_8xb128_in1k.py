# TransMix: the borders of the box cut through patches.
# Paper:    Table 8, TransMix, DeiT-T: top-1 72.6; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table8_deit-tiny_transmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-tiny_transmix_8xb128_in1k.py'
