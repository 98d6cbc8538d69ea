# CA-Swin-S on ImageNet-1k with half Mixup, half CutMix: the baseline of the paper, and the base of the other configs.
# Paper:    Table 1, CA-Swin-S: top-1 82.8; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/ca-swin-small_mixup-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# Drop path is that of Swin-S in the released code; Table 11 has 0.1 for all models.
_base_ = '../_base_/ca_swin_in1k.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.3))
