# Segmenter on DeiT-S from MixPro, trained and evaluated on the 59 classes without the background. Its numbers are not
# comparable with 60 classes: for DeepLabV3+ on R-101, mmseg reports 52.86 instead of 47.30.
# Paper:    no row of Table 3, which counts 60 classes; not run here
# Needs:    work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth from configs/pretrain/deit-small_mixpro_8xb128_in1k.py
# Data:     data/VOCdevkit/VOC2010, see docs/hand_over.md
# Run:      mim train onedl-mmsegmentation configs/segmentation/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-59-480x480.py --gpus 4 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-59-480x480.py --checkpoint work_dirs/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-59-480x480/iter_80000.pth
# Test, MS: the same command with --tta
_base_ = 'segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py'

model = dict(decode_head=dict(num_classes=59))
train_dataloader = dict(dataset=dict(type='PascalContextDataset59'))  # ignores label 0, maps k to k - 1
val_dataloader = dict(dataset=dict(type='PascalContextDataset59'))
test_dataloader = dict(dataset=dict(type='PascalContextDataset59'))
