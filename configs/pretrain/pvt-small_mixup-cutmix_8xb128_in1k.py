# PVT-S on ImageNet-1k with half Mixup, half CutMix: the baseline of the paper, and the base of the other configs.
# Paper:    Table 1, PVT-S: top-1 79.8; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/pvt-small_mixup-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../_base_/pvt_in1k.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.1))
