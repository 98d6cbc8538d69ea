# XCiT-M on ImageNet-1k with half Mixup, half CutMix: the baseline of the paper, and the base of the other configs.
# Paper:    Table 1, XCiT-M: top-1 82.7; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/xcit-medium-24-p16_mixup-cutmix_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: drop path 0.15, from the detection and UPerNet configs of the XCiT authors.
_base_ = '../_base_/xcit_in1k.py'

model = dict(
    backbone=dict(embed_dims=512, depth=24, num_heads=8, layer_scale_init_value=1e-5, drop_path_rate=0.15),
    head=dict(in_channels=512),
)
