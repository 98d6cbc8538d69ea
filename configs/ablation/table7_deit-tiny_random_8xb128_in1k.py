# Random mask of single patches; labels by area.
# Paper:    Table 7, random, DeiT-T: top-1 72.7; not run here
# Run:      mim train onedl-mmpretrain configs/ablation/table7_deit-tiny_random_8xb128_in1k.py --gpus 8 --launcher pytorch
# Unverified: the number is from TokenMix, where tau is fixed; here it is random, as for the other masks.
_base_ = '../pretrain/deit-tiny_mixup-cutmix_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MaskMix', alpha=1.0, patch_size=16, mask_scale=1)]
    )
)
