# DeiT-micro (64 channels, 4 layers, patch 4) on the digits with MixPro: half the batches Mixup, half MixPro.
# Run:      mim train onedl-mmpretrain configs/digits/deit-micro_mixpro_digits.py
# Result:   top-1 97.5 as a stage of study_demo.py, seed 0, 2026-11-29
_base_ = ['../_base_/digits.py', '../_base_/deit_micro_mixpro.py']

custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
