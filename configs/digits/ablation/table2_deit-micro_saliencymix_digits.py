# SaliencyMix in place of CutMix: the box lies on what is salient in the partner, labels by area.
# Paper:    Table 2, SaliencyMix, DeiT-S: top-1 79.2 (ImageNet-1k)
# Run:      mim train onedl-mmpretrain configs/digits/ablation/table2_deit-micro_saliencymix_digits.py
# Not as in the paper: saliency is the spectral residual, where the released code has the fine-grained one of OpenCV.
_base_ = 'table2_deit-micro_cutmix_digits.py'

model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.SaliencyMix', alpha=1.0)]))
