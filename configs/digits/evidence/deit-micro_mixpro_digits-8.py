# DeiT-micro on the digits 0 to 7 with MixPro, 25 epochs: one row of the evidence study. 8 and 9 stay unseen, for tests
# of what a model says of classes it does not know.
# Run:      mim train onedl-mmpretrain configs/digits/evidence/deit-micro_mixpro_digits-8.py
# Batches of 32, because at 64 these epochs are too few steps: models trained with mixing were then far from their end.
_base_ = ['../../_base_/digits_8.py', '../../_base_/digits_schedule.py', '../../_base_/micro_backbones.py']

train_dataloader = dict(batch_size=32)
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
        num_classes=8,
        in_channels=64,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
    ),
    train_cfg=dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MixPro', patch_size=4, mask_scale=2)],
        probs=[0.5, 0.5],
    ),
)
custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
train_cfg = dict(max_epochs=25, val_interval=5)
default_hooks = dict(logger=dict(interval=36), checkpoint=dict(interval=5, max_keep_ckpts=1))
