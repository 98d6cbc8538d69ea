# DeiT-B on ImageNet-1k with half Mixup, half CutMix: the baseline of the paper, and the base of the other configs.
# Paper:    Table 1, DeiT-B: top-1 81.8; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/deit-base_mixup-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# The config of mmpretrain has an EMA and clips gradients; the recipe of the paper does not.
_base_ = 'deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(backbone=dict(arch='deit-base'), head=dict(in_channels=768))
