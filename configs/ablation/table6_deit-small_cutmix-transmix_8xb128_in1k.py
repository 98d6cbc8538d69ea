# CutMix's box with TransMix's labels.
# Paper:    Table 6, CutMix + TransMix, DeiT-S: top-1 80.7; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table6_deit-small_cutmix-transmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_transmix_8xb128_in1k.py'
