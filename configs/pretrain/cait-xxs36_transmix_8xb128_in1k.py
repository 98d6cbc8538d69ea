# CaiT-XXS on ImageNet-1k with TransMix: box of CutMix, labels half by area, half by class attention.
# Paper:    Table 1, CaiT-XXS + TransMix: top-1 79.8; not run here
# Needs:    timm (pip install timm)
# Run:      mim train onedl-mmpretrain configs/pretrain/cait-xxs36_transmix_8xb128_in1k.py --gpus 8 --launcher pytorch
_base_ = ['cait-xxs36_mixup-cutmix_8xb128_in1k.py', '../_base_/transmix.py']

model = dict(train_cfg=dict(augments=_base_.transmix))
