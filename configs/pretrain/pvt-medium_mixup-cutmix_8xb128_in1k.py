# PVT-M on ImageNet-1k with half Mixup, half CutMix: the baseline of the paper, and the base of the other configs.
# Paper:    Table 1, PVT-M: top-1 81.2; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/pvt-medium_mixup-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# Drop path and clipping are those of the PVT authors; Table 11 has drop path 0.1 for all models.
_base_ = '../_base_/pvt_in1k.py'

model = dict(backbone=dict(arch='medium', drop_path_rate=0.3))
optim_wrapper = dict(clip_grad=dict(_delete_=True, max_norm=1.0))
