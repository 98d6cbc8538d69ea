# Segmenter on DeiT-micro, 500 iterations: the segmentation of the evidence study, which replaces the checkpoint by that
# of each method. Tested at one scale and at three scales without flips.
# Needs:    the checkpoint of deit-micro_mixpro_digits-8.py
# Data:     python -m mixpro_mm.datasets.digit_scenes data/digit_scenes
# Run:      mim train onedl-mmsegmentation configs/digits/evidence/segmenter_deit-micro_digit-scenes.py
_base_ = '../segmenter_deit-micro_scratch_digit-scenes.py'

checkpoint = 'work_dirs/deit-micro_mixpro_digits-8/epoch_25.pth'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')))
custom_hooks = [dict(type='mixpro_mm.TransferCheckHook')]

param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=30),
    dict(type='PolyLR', eta_min=1e-5, power=0.9, by_epoch=False, begin=30, end=500),
]
train_cfg = dict(max_iters=500)
default_hooks = dict(checkpoint=dict(interval=100, max_keep_ckpts=1))
