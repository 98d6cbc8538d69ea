# PVT-micro (four stages of 32 to 256 channels) on the digits with MixPro: half Mixup, half MixPro.
# Class attention has stride 32, so images are 64 px and a mask cell is one token of stage 4.
# Run:      mim train onedl-mmpretrain configs/digits/pvt-micro_mixpro_digits.py
# Result:   top-1 98.9 as a stage of study_demo.py, seed 0, 2026-11-29
_base_ = ['../_base_/digits.py', '../_base_/micro_backbones.py']

larger = [dict(type='Resize', scale=64, interpolation='bicubic'), dict(type='PackInputs')]
train_dataloader = dict(dataset=dict(pipeline=[*_base_.train_pipeline[:-1], *larger]))
val_dataloader = dict(dataset=dict(pipeline=larger))
test_dataloader = val_dataloader

model = dict(
    type='ImageClassifier',
    backbone=dict(
        type='mixpro_mm.PVT',
        arch=_base_.pvt_micro,
        img_size=64,
    ),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=256,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', patch_size=32, mask_scale=1)],
        probs=[0.5, 0.5],
    ),
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
train_cfg = dict(max_epochs=40)
