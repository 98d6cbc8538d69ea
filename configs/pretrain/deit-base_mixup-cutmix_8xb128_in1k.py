# DeiT-B on ImageNet-1k with half Mixup, half CutMix: the paper's baseline, and the parent of the others.
# Paper:    Table 1, DeiT-B: top-1 81.8; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/deit-base_mixup-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# mmpretrain's own DeiT-B has an EMA and clips gradients; the paper's has neither.
_base_ = 'deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(backbone=dict(arch='deit-base'), head=dict(in_channels=768))
