# DeiT-S from its MixPro checkpoint with a linear decoder: a 1x1 convolution on the normalized patch tokens.
# Paper:    Table 3, DeiT-S-Linear + MixPro: mIoU 50.3, (MS) 50.9; not run here
# Needs:    work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth from configs/pretrain/deit-small_mixpro_8xb128_in1k.py
# Data:     data/VOCdevkit/VOC2010, see docs/hand_over.md
# Run:      mim train onedl-mmsegmentation configs/segmentation/linear_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py --gpus 4 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/linear_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py --checkpoint work_dirs/linear_deit-small_mixpro_4xb4-80k_pascal-context-480x480/iter_80000.pth
# Test, MS: the same command with --tta
_base_ = '../_base_/deit_pascal_context.py'

model = dict(
    decode_head=dict(
        type='FCNHead',
        in_channels=384,
        channels=384,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=60,
    ),
)
