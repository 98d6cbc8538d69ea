# CA-Swin-S on ImageNet-1k with MixPro: half the batches Mixup, half MixPro (cells of 32 px, labels by PAL).
# Paper:    Table 1, CA-Swin-S + MixPro: top-1 83.7; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/ca-swin-small_mixpro_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = ['ca-swin-small_mixup-cutmix_8xb128_in1k.py', '../_base_/mixpro_pyramid.py']

model = dict(train_cfg=dict(augments=_base_.mixpro))
