# SaliencyMix instead of CutMix: the box is centred on the most salient pixel of the partner, labels by area.
# Paper:    Table 2, SaliencyMix, DeiT-S: top-1 79.2; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table2_deit-small_saliencymix_8xb128_in1k.py --gpus 8 --launcher pytorch
# Not as in the paper: saliency is the spectral residual; the released code uses the fine-grained saliency of OpenCV.
_base_ = '../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.SaliencyMix', alpha=1.0)]))
