# DeiT-micro on FashionA: test images of Fashion-MNIST that a small CNN misclassifies, filtered like ImageNet-A, among
# them images with ambiguous labels; no published number is comparable.
# Needs:    work_dirs/deit-micro_mixpro_fashion/epoch_12.pth from configs/fashion/deit-micro_mixpro_fashion.py
# Run:      mim test onedl-mmpretrain configs/robustness/deit-micro_fashion-a.py --checkpoint work_dirs/deit-micro_mixpro_fashion/epoch_12.pth
# Read:     calibration/top1, calibration/rms_calibration_error and calibration/aurra, in percent
_base_ = 'deit-micro_calibration_fashion.py'

test_dataloader = dict(dataset=dict(type='mixpro_mm.FashionA'))
test_evaluator = dict(bin_size=25)  # 17 bins of 408 images
