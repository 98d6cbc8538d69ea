# DeiT-S from its MixPro checkpoint with the mask transformer of Segmenter on ADE20K.
# Paper:    no row of Table 3; not run here
# Needs:    work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth from configs/pretrain/deit-small_mixpro_8xb128_in1k.py
# Data:     data/ade/ADEChallengeData2016
# Run:      mim train onedl-mmsegmentation configs/segmentation/segmenter_deit-small_mixpro_8xb1-160k_ade20k-512x512.py --gpus 8 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/segmenter_deit-small_mixpro_8xb1-160k_ade20k-512x512.py --checkpoint work_dirs/segmenter_deit-small_mixpro_8xb1-160k_ade20k-512x512/iter_160000.pth
# Test, MS: the same command with --tta
_base_ = '../_base_/deit_ade20k.py'

model = dict(
    decode_head=dict(
        type='SegmenterMaskTransformerHead',
        in_channels=384,
        channels=384,
        num_classes=150,
        num_layers=2,
        num_heads=6,
        embed_dims=384,
        drop_rate=0.1,
        attn_drop_rate=0.1,
        drop_path_rate=0.0,
        dropout_ratio=0.0,
    ),
)
