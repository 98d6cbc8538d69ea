# Mask R-CNN on PVT-micro from scratch, to compare with the MixPro checkpoint.
# Data:     python -m mixpro_mm.datasets.digit_scenes data/digit_scenes
# Run:      mim train onedl-mmdetection configs/digits/mask-rcnn_pvt-micro_scratch_digit-scenes.py
# Result:   box AP 35.7, mask AP 31.2 as a stage of study_demo.py, seed 0, 2026-11-29
_base_ = ['../_base_/mask_rcnn_pvt_micro.py', '../_base_/digit_scenes_coco.py']

model = dict(data_preprocessor=_base_.data_preprocessor)
