# The standard set-up: half Mixup, half CutMix.
# Paper:    Table 6, CutMix, DeiT-S: top-1 79.8; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table6_deit-small_cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py'
