# As the MixPro config, from the DeiT-S released by SMMix.
# Paper:    no row of Table 3; not run here
# Needs:    checkpoints/deit-small_smmix.pth: the DeiT-S of SMMix in the key layout of mmpretrain
#           (python tools/convert_checkpoint.py SMMIX_DEIT_S.pth checkpoints/deit-small_smmix.pth --to mmpretrain)
# Data:     data/VOCdevkit/VOC2010, see docs/hand_over.md
# Run:      mim train onedl-mmsegmentation configs/segmentation/segmenter_deit-small_smmix_4xb4-80k_pascal-context-480x480.py --gpus 4 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/segmenter_deit-small_smmix_4xb4-80k_pascal-context-480x480.py --checkpoint work_dirs/segmenter_deit-small_smmix_4xb4-80k_pascal-context-480x480/iter_80000.pth
# Test, MS: the same command with --tta
_base_ = 'segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='checkpoints/deit-small_smmix.pth')))
