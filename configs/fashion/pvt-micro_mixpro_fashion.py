# PVT-micro (four stages of 32 to 256 channels) on 20,480 images of Fashion-MNIST with MixPro: half Mixup, half MixPro.
# Class attention has stride 32, so images are 64 px and a mask cell is one token of stage 4.
# Data:     python -m mixpro_mm.datasets.fashion_mnist
# Run:      mim train onedl-mmpretrain configs/fashion/pvt-micro_mixpro_fashion.py
# Result:   top-1 85.6 as a stage of study_fashion.py, seed 0, 2026-11-29
_base_ = ['../_base_/fashion_mnist.py', '../_base_/pvt_micro_mixpro.py']

larger = dict(img_size=32, pipeline=[dict(type='Resize', scale=64, interpolation='bicubic'), dict(type='PackInputs')])
train_dataloader = dict(dataset=dict(dataset=larger, padding=4))
val_dataloader = dict(dataset=larger)
test_dataloader = val_dataloader

custom_hooks = [dict(type='mixpro_mm.LabelingHook')]
train_cfg = dict(max_epochs=10, val_interval=10)
