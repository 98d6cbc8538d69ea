# XCiT-M on ImageNet-1k with TransMix: box of CutMix, labels half by area, half by class attention.
# Paper:    Table 1, XCiT-M + TransMix: top-1 83.4; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/xcit-medium-24-p16_transmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = ['xcit-medium-24-p16_mixup-cutmix_8xb128_in1k.py', '../_base_/transmix.py']

model = dict(train_cfg=dict(augments=_base_.transmix))
