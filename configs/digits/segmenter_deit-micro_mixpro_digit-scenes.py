# Segmenter on DeiT-micro from its MixPro checkpoint. The run stops before training if a backbone tensor is not loaded.
# Needs:    the checkpoint of deit-micro_mixpro_digits.py, and the data of the config below
# Run:      mim train onedl-mmsegmentation configs/digits/segmenter_deit-micro_mixpro_digit-scenes.py
# Result:   mIoU 21.9 as a stage of study_demo.py, seed 0, 2026-11-29
_base_ = 'segmenter_deit-micro_scratch_digit-scenes.py'

checkpoint = 'work_dirs/deit-micro_mixpro_digits/epoch_50.pth'
model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')))
custom_hooks = [dict(type='mixpro_mm.TransferCheckHook')]
