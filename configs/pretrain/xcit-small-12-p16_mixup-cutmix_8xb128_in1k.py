# XCiT-S on ImageNet-1k with half Mixup, half CutMix: the baseline of the paper, and the base of the other configs.
# Paper:    Table 1, XCiT-S: top-1 82.0; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/xcit-small-12-p16_mixup-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# Drop path 0.05 is from the README of XCiT. LayerScale starts at 1; in the deeper models at 1e-5.
_base_ = '../_base_/xcit_in1k.py'

model = dict(
    backbone=dict(embed_dims=384, depth=12, num_heads=8, layer_scale_init_value=1.0, drop_path_rate=0.05),
    head=dict(in_channels=384),
)
