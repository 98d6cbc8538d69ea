# Mask R-CNN on PVT-micro from scratch, 10 epochs, to compare with the MixPro checkpoint. The learning rate is
# the better of 1e-3 and 2e-3, from scratch and from the checkpoint (docs/development/pilot.md).
# Data:     python -m mixpro_mm.datasets.fashion_scenes data/fashion_scenes
# Run:      mim train onedl-mmdetection configs/fashion/mask-rcnn_pvt-micro_scratch_fashion-scenes.py
# Result:   box AP 8.7, mask AP 9.7 as a stage of study_fashion.py, seed 0, 2026-11-29
_base_ = ['../_base_/mask_rcnn_pvt_micro.py', '../_base_/fashion_scenes_coco.py']

model = dict(data_preprocessor=_base_.data_preprocessor)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=30),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=0, end=10, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=10)
