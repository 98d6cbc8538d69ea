# CaiT-XXS on ImageNet-1k with half Mixup, half CutMix: the baseline of the paper, and the base of the other configs.
# Paper:    Table 1, CaiT-XXS: top-1 79.1; not run here
# Needs:    timm (pip install timm)
# Run:      mim train onedl-mmpretrain configs/pretrain/cait-xxs36_mixup-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# CaiT-XXS with 36 blocks has the parameters and FLOPs of Table 1. Drop path is the same in all 36 blocks and 0 in the
# two class-attention blocks, as in the authors' code.
_base_ = '../_base_/in1k_400e.py'

model = dict(
    type='TimmClassifier',
    model_name='cait_xxs36_224',
    num_classes=1000,
    drop_path_rate=0.1,
    loss=_base_.label_smooth,
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'.pos_embed': dict(decay_mult=0.0)}))
