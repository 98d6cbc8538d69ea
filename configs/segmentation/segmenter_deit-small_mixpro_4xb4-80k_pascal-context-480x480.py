# DeiT-S from its MixPro checkpoint with the mask transformer of Segmenter: 2 layers, one token per class.
# Paper:    Table 3, DeiT-S-Segmenter + MixPro: mIoU 51.1, (MS) 51.6; not run here
# Needs:    work_dirs/deit-small_mixpro_8xb128_in1k/epoch_300.pth from configs/pretrain/deit-small_mixpro_8xb128_in1k.py
# Data:     data/VOCdevkit/VOC2010, see docs/hand_over.md
# Run:      mim train onedl-mmsegmentation configs/segmentation/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py --gpus 4 --launcher pytorch
# Test:     mim test onedl-mmsegmentation configs/segmentation/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480.py --checkpoint work_dirs/segmenter_deit-small_mixpro_4xb4-80k_pascal-context-480x480/iter_80000.pth
# Test, MS: the same command with --tta
_base_ = '../_base_/deit_pascal_context.py'

model = dict(
    decode_head=dict(
        type='SegmenterMaskTransformerHead',
        in_channels=384,
        channels=384,
        num_classes=60,
        num_layers=2,
        num_heads=6,
        embed_dims=384,
        drop_rate=0.1,  # one number for both in the Segmenter code
        attn_drop_rate=0.1,
        drop_path_rate=0.0,
        dropout_ratio=0.0,  # of a layer that this head does not have
    ),
)
