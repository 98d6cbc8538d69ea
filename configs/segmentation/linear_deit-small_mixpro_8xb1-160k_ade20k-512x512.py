# DeiT-S from its MixPro checkpoint with a linear decoder on ADE20K.
# Paper:    no row of Table 3; not run here
# Needs:    work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth from configs/pretrain/deit-small_mixpro_8xb128_in1k.py
# Data:     data/ade/ADEChallengeData2016
# Run:      mim train onedl-mmsegmentation configs/segmentation/linear_deit-small_mixpro_8xb1-160k_ade20k-512x512.py --gpus 8 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/linear_deit-small_mixpro_8xb1-160k_ade20k-512x512.py --checkpoint work_dirs/linear_deit-small_mixpro_8xb1-160k_ade20k-512x512/iter_160000.pth
# Test, MS: the same command with --tta
_base_ = '../_base_/deit_ade20k.py'

model = dict(
    decode_head=dict(
        type='FCNHead',
        in_channels=384,
        channels=384,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=150,
    ),
)
