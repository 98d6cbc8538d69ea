# XCiT-M on ImageNet-1k with MixPro: half the batches Mixup, half MixPro (cells of 4 x 4 patches, labels by PAL).
# Paper:    Table 1, XCiT-M + MixPro: top-1 84.1; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/xcit-medium-24-p16_mixpro_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = ['xcit-medium-24-p16_mixup-cutmix_8xb128_in1k.py', '../_base_/mixpro_p16.py']

model = dict(train_cfg=dict(augments=_base_.mixpro))
