# Mask R-CNN on PVT-micro from scratch, to compare with the MixPro checkpoint.
# Data:     python -m mixpro_mm.datasets.fashion_scenes data/fashion_scenes
# Run:      mim train onedl-mmdetection configs/fashion/mask-rcnn_pvt-micro_scratch_fashion-scenes.py
# Result:   box AP 19.6, mask AP 21.1 as a stage of study_fashion.py, seed 0, 2026-11-29
_base_ = ['../_base_/mask_rcnn_pvt_micro.py', '../_base_/fashion_scenes_coco.py']

model = dict(data_preprocessor=_base_.data_preprocessor)
