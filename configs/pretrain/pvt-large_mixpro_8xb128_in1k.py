# PVT-L on ImageNet-1k with MixPro: half the batches Mixup, half MixPro (cells of 32 px, labels by PAL).
# Paper:    Table 1, PVT-L + MixPro: top-1 82.9; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/pvt-large_mixpro_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = ['pvt-large_mixup-cutmix_8xb128_in1k.py', '../_base_/mixpro_pyramid.py']

model = dict(train_cfg=dict(augments=_base_.mixpro))
