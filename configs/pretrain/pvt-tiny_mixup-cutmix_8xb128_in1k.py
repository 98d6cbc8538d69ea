# PVT-T on ImageNet-1k with half Mixup, half CutMix: the baseline of the paper, and the base of the other configs.
# Paper:    Table 1, PVT-T: top-1 75.1; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/pvt-tiny_mixup-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = '../_base_/pvt_in1k.py'

model = dict(backbone=dict(arch='tiny', drop_path_rate=0.1))
