# Mask R-CNN on PVT-micro from its MixPro checkpoint. The run stops before training if a backbone tensor is not loaded.
# Needs:    the checkpoint of pvt-micro_mixpro_fashion.py, and the data of the config below
# Run:      mim train onedl-mmdetection configs/fashion/mask-rcnn_pvt-micro_mixpro_fashion-scenes.py
# Result:   box AP 16.9, mask AP 17.9 as a stage of study_fashion.py, seed 0, 2026-11-29
_base_ = 'mask-rcnn_pvt-micro_scratch_fashion-scenes.py'

checkpoint = 'work_dirs/pvt-micro_mixpro_fashion/epoch_10.pth'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')))
custom_hooks = [dict(type='mixpro_mm.TransferCheckHook')]
