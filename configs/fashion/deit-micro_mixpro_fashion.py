# DeiT-micro (64 channels, 4 layers, patch 4) on 20,480 images of Fashion-MNIST with MixPro: half Mixup, half MixPro.
# Data:     python -m mixpro_mm.datasets.fashion_mnist
# Run:      mim train onedl-mmpretrain configs/fashion/deit-micro_mixpro_fashion.py
# Result:   top-1 82.8 as a stage of study_fashion.py, seed 0, 2026-11-29
_base_ = ['../_base_/fashion_mnist.py', '../_base_/deit_micro_mixpro.py']

# 3.5 x 3.5 mask cells, as 64 px in images of 224 px, on 7 x 7 tokens instead of 14 x 14
model = dict(backbone=dict(type='mixpro_mm.ClassTokenViT', img_size=28))
custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
