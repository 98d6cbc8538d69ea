# PVT-T on ImageNet-1k with TransMix: box of CutMix, labels half by area, half by class attention.
# Paper:    Table 1, PVT-T + TransMix: top-1 75.5; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/pvt-tiny_transmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = ['pvt-tiny_mixup-cutmix_8xb128_in1k.py', '../_base_/transmix.py']

model = dict(train_cfg=dict(augments=_base_.transmix))
