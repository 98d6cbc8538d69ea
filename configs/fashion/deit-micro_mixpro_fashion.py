# DeiT-micro (64 channels, 4 layers, patch 4) on 5,000 images of Fashion-MNIST with MixPro: half Mixup, half MixPro.
# Data:     python -m mixpro_mm.datasets.fashion_mnist
# Run:      mim train onedl-mmpretrain configs/fashion/deit-micro_mixpro_fashion.py
# Result:   top-1 81.2 as a stage of study_fashion.py, seed 0, 2026-11-29
_base_ = ['../_base_/fashion_mnist.py', '../_base_/deit_micro_mixpro.py']

custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
