# DeiT-S on ImageNet-1k with MixPro: half the batches Mixup, half MixPro (cells of 4 x 4 patches, labels by PAL).
# Paper:    Table 1, DeiT-S + MixPro: top-1 81.3; not run here
# Run:      mim train onedl-mmpretrain configs/pretrain/deit-small_mixpro_8xb128_in1k.py --gpus 8 --launcher pytorch
# 64 px do not tile 224: the last row and column of cells are cut, and the area label counts pixels.
_base_ = 'deit-small_mixup-cutmix_8xb128_in1k.py'

model = dict(
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', alpha=1.0, patch_size=16, mask_scale=4)]
    )
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
