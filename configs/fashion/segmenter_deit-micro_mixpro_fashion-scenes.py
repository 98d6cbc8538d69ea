# Segmenter on DeiT-micro from its MixPro checkpoint. The run stops before training if a backbone tensor is not loaded.
# Needs:    the checkpoint of deit-micro_mixpro_fashion.py, and the data of the config below
# Run:      mim train onedl-mmsegmentation configs/fashion/segmenter_deit-micro_mixpro_fashion-scenes.py
# Result:   mIoU 21.8 as a stage of study_fashion.py, seed 0, 2026-11-29
_base_ = 'segmenter_deit-micro_scratch_fashion-scenes.py'

checkpoint = 'work_dirs/deit-micro_mixpro_fashion/epoch_12.pth'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')))
custom_hooks = [dict(type='mixpro_mm.TransferCheckHook')]
