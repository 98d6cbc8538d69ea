# Segmenter (mask transformer) on DeiT-micro from scratch, 750 iterations, to compare with the MixPro
# checkpoint. The learning rate is the better of 1e-3 and 2e-3 from scratch (docs/development/pilot.md).
# Data:     python -m mixpro_mm.datasets.fashion_scenes data/fashion_scenes
# Run:      mim train onedl-mmsegmentation configs/fashion/segmenter_deit-micro_scratch_fashion-scenes.py
# Result:   mIoU 13.6 as a stage of study_fashion.py, seed 0, 2026-11-29
_base_ = ['../_base_/segmenter_deit_micro.py', '../_base_/fashion_scenes_context.py']

# 82 % of the pixels are background
weights = [0.2] + [1.0] * 10
model = dict(
    data_preprocessor=_base_.data_preprocessor,
    decode_head=dict(loss_decode=dict(class_weight=weights)),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=30),
    dict(type='PolyLR', eta_min=1e-5, power=0.9, by_epoch=False, begin=30, end=750),
]
train_cfg = dict(max_iters=750)
