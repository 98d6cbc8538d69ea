# Mask of BEiT: blocks of patches; labels by area.
# Paper:    Table 7, block, DeiT-S: top-1 80.6; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table7_deit-small_block_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: the number is from TokenMix, where tau is fixed; here it is random, as for the other masks.
_base_ = '../pretrain/deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[
            dict(type='Mixup', alpha=0.8),
            dict(type='mixpro_mm.BlockMix', alpha=1.0, patch_size=16, min_patches=16),
        ]
    )
)
