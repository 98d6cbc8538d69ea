# Mask R-CNN on PVT-micro from its MixPro checkpoint. The run stops before training if a backbone tensor is not loaded.
# Needs:    the checkpoint of pvt-micro_mixpro_digits.py, and the data of the config below
# Run:      mim train onedl-mmdetection configs/digits/mask-rcnn_pvt-micro_mixpro_digit-scenes.py
# Result:   box AP 32.6, mask AP 28.3 as a stage of study_demo.py, seed 0, 2026-11-29
_base_ = 'mask-rcnn_pvt-micro_scratch_digit-scenes.py'

checkpoint = 'work_dirs/pvt-micro_mixpro_digits/epoch_40.pth'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')))
custom_hooks = [dict(type='mixpro_mm.TransferCheckHook')]
