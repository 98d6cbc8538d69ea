# CaiT-XXS on ImageNet-1k with MixPro: half the batches Mixup, half MixPro (cells of 4 x 4 patches, labels by PAL).
# Paper:    Table 1, CaiT-XXS + MixPro: top-1 80.6; not run here
# Needs:    timm (pip install timm)
# Run:      mim train onedl-mmpretrain configs/pretrain/cait-xxs36_mixpro_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = ['cait-xxs36_mixup-cutmix_8xb128_in1k.py', '../_base_/mixpro_p16.py']

model = dict(train_cfg=dict(augments=_base_.mixpro))
