# XCiT-T on ImageNet-1k with half Mixup, half CutMix: the baseline of the paper, and the base of the other configs.
# Paper:    Table 1, XCiT-T: top-1 79.4; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/xcit-tiny-24-p16_mixup-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: drop path 0.05, from memory of the XCiT paper.
_base_ = '../_base_/xcit_in1k.py'

model = dict(
    backbone=dict(embed_dims=192, depth=24, num_heads=4, layer_scale_init_value=1e-5, drop_path_rate=0.05),
    head=dict(in_channels=192),
)
