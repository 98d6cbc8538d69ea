# DeiT-micro (64 channels, 4 layers, patch 4) on the digits with MixPro: half the batches Mixup, half MixPro.
# Run:      mim train onedl-mmpretrain configs/digits/deit-micro_mixpro_digits.py
# Result:   top-1 97.5 as a stage of study_demo.py, seed 0, 2026-11-29
_base_ = ['../_base_/digits.py', '../_base_/micro_backbones.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer',
        arch=_base_.deit_micro,
        img_size=32,
        patch_size=4,
    ),
    head=dict(
        type='VisionTransformerClsHead',
        num_classes=10,
        in_channels=64,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', patch_size=4, mask_scale=2)],
        probs=[0.5, 0.5],
    ),
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
