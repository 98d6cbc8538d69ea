# DeiT-B on ImageNet-1k with MixPro: half the batches Mixup, half MixPro (cells of 4 x 4 patches, labels by PAL).
# Paper:    Table 1, DeiT-B + MixPro: top-1 82.9; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/deit-base_mixpro_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = ['deit-base_mixup-cutmix_8xb128_in1k.py', '../_base_/mixpro_p16.py']

model = dict(train_cfg=dict(augments=_base_.mixpro))
