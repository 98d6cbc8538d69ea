# Segmenter (mask transformer) on DeiT-micro from scratch, to compare with the MixPro checkpoint.
# Data:     python -m mixpro_mm.datasets.digit_scenes data/digit_scenes
# Run:      mim train onedl-mmsegmentation configs/digits/segmenter_deit-micro_scratch_digit-scenes.py
# Result:   mIoU 13.9 as a stage of study_demo.py, seed 0, 2026-11-29
_base_ = ['../_base_/segmenter_deit_micro.py', '../_base_/digit_scenes_context.py']

model = dict(data_preprocessor=_base_.data_preprocessor)
