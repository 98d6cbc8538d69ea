# As the MixPro config, from the DeiT-S pre-trained with TransMix.
# Paper:    Table 3, DeiT-S-Linear + TransMix: mIoU 49.7, (MS) 50.3; not run here
# Needs:    work_dirs/deit-small_transmix_8xb128_in1k/epoch_300.pth from configs/pretrain/deit-small_transmix_8xb128_in1k.py
# Data:     data/VOCdevkit/VOC2010, see docs/hand_over.md
# Run:      mim train onedl-mmsegmentation configs/segmentation/linear_deit-small_transmix_4xb4-80k_pascal-context-480x480.py --gpus 4 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/linear_deit-small_transmix_4xb4-80k_pascal-context-480x480.py --checkpoint work_dirs/linear_deit-small_transmix_4xb4-80k_pascal-context-480x480/iter_80000.pth
# Test, MS: the same command with --tta
_base_ = 'linear_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='work_dirs/deit-small_transmix_8xb128_in1k/epoch_300.pth')))
