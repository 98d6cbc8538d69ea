# PVT-micro (four stages of 32 to 256 channels) on the digits with MixPro: half Mixup, half MixPro.
# Class attention has stride 32, so images are 64 px and a mask cell is one token of stage 4.
# Run:      mim train onedl-mmpretrain configs/digits/pvt-micro_mixpro_digits.py
# Result:   top-1 98.9 as a stage of study_demo.py, seed 0, 2026-11-29
_base_ = ['../_base_/digits.py', '../_base_/pvt_micro_mixpro.py']

larger = [dict(type='Resize', scale=64, interpolation='bicubic'), dict(type='PackInputs')]
train_dataloader = dict(dataset=dict(pipeline=[*_base_.train_pipeline[:-1], *larger]))
val_dataloader = dict(dataset=dict(pipeline=larger))
test_dataloader = val_dataloader

custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
train_cfg = dict(max_epochs=40)
