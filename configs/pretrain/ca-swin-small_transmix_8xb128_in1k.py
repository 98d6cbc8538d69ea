# CA-Swin-S on ImageNet-1k with TransMix: box of CutMix, labels half by area, half by class attention.
# Paper:    Table 1, CA-Swin-S + TransMix: top-1 83.2; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/ca-swin-small_transmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = ['ca-swin-small_mixup-cutmix_8xb128_in1k.py', '../_base_/transmix.py']

model = dict(train_cfg=dict(augments=_base_.transmix))
