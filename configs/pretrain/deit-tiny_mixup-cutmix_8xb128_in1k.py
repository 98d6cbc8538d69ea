# DeiT-T on ImageNet-1k with half Mixup, half CutMix: the baseline of the paper, and the base of the other configs.
# Paper:    Table 1, DeiT-T: top-1 72.2; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/deit-tiny_mixup-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = 'deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(backbone=dict(arch='deit-tiny'), head=dict(in_channels=192))
