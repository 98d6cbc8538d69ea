# PVT-L on ImageNet-1k with TransMix: box of CutMix, labels half by area, half by class attention.
# Paper:    Table 1, PVT-L + TransMix: top-1 82.4; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/pvt-large_transmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = ['pvt-large_mixup-cutmix_8xb128_in1k.py', '../_base_/transmix.py']

model = dict(train_cfg=dict(augments=_base_.transmix))
