# As the MixPro config, from the released DeiT-S, pre-trained with Mixup and CutMix.
# Paper:    no row of Table 3; not run here
# Needs:    checkpoints/deit-small_official.pth: the released DeiT-S in the key layout of mmpretrain
#           (python tools/convert_checkpoint.py deit_small_patch16_224.pth checkpoints/deit-small_official.pth --to mmpretrain)
# Data:     data/VOCdevkit/VOC2010, see docs/hand_over.md
# Run:      mim train onedl-mmsegmentation configs/segmentation/segmenter_deit-small_official_4xb4-80k_pascal-context-480x480.py --gpus 4 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/segmenter_deit-small_official_4xb4-80k_pascal-context-480x480.py --checkpoint work_dirs/segmenter_deit-small_official_4xb4-80k_pascal-context-480x480/iter_80000.pth
# Test, MS: the same command with --tta
_base_ = 'segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='checkpoints/deit-small_official.pth')))
