# As the MixPro config, from the DeiT-S pre-trained with Mixup and CutMix.
# Paper:    Table 3, DeiT-S-Linear: mIoU 49.1, (MS) 49.6; not run here
# Needs:    work_dirs/deit-small_mixup-cutmix_8xb128_in1k/epoch_300.pth from configs/pretrain/deit-small_mixup-cutmix_8xb128_in1k.py
# Data:     data/VOCdevkit/VOC2010, see docs/hand_over.md
# Run:      mim train onedl-mmsegmentation configs/segmentation/linear_deit-small_baseline_4xb4-80k_pascal-context-480x480.py --gpus 4 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/linear_deit-small_baseline_4xb4-80k_pascal-context-480x480.py --checkpoint work_dirs/linear_deit-small_baseline_4xb4-80k_pascal-context-480x480/iter_80000.pth
# Test, MS: the same command with --tta
_base_ = 'linear_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='work_dirs/deit-small_mixup-cutmix_8xb128_in1k/epoch_300.pth')))
