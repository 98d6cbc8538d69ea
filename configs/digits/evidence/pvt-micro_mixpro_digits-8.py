# PVT-micro on the digits 0 to 7 with MixPro, 20 epochs at 64 px: one row of the evidence study.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/pvt-micro_mixpro_digits-8.py
_base_ = ['../../_base_/digits_8.py', '../../_base_/digits_schedule.py', '../../_base_/micro_backbones.py']

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
        num_classes=8,
        in_channels=256,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', patch_size=32, mask_scale=1)],
        probs=[0.5, 0.5],
    ),
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
train_cfg = dict(max_epochs=20, val_interval=20)
default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=1))
