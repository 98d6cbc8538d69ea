# Mask R-CNN on PVT-micro, 8 epochs: the detection of the evidence study, which replaces the checkpoint by that of each
# method.
# Needs:    the checkpoint of pvt-micro_mixpro_digits-8.py
# Data:     python -m mixpro_mm.datasets.digit_scenes data/digit_scenes
# Run:      mim train onedl-mmdetection configs/digits/evidence/mask-rcnn_pvt-micro_digit-scenes.py
_base_ = '../mask-rcnn_pvt-micro_scratch_digit-scenes.py'

checkpoint = 'work_dirs/pvt-micro_mixpro_digits-8/epoch_20.pth'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')))
custom_hooks = [dict(type='mixpro_mm.TransferCheckHook')]

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=30),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=0, end=8, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=8)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=1))
