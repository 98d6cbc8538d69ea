# As the MixPro config, from the DeiT-S pre-trained with Mixup and CutMix.
# Paper:    Table 3, DeiT-S-Segmenter: mIoU 49.7, (MS) 50.5; not run here
# Needs:    work_dirs/deit-small_mixup-cutmix_8xb128_in1k/epoch_300.pth from configs/pretrain/deit-small_mixup-cutmix_8xb128_in1k.py
# Data:     data/VOCdevkit/VOC2010, see docs/hand_over.md
# Run:      mim train onedl-mmsegmentation configs/segmentation/segmenter_deit-small_baseline_4xb4-80k_pascal-context-480x480.py --gpus 4 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/segmenter_deit-small_baseline_4xb4-80k_pascal-context-480x480.py --checkpoint work_dirs/segmenter_deit-small_baseline_4xb4-80k_pascal-context-480x480/iter_80000.pth
# Test, MS: the same command with --tta
_base_ = 'segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='work_dirs/deit-small_mixup-cutmix_8xb128_in1k/epoch_300.pth')))
