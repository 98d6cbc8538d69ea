# Calibration of DeiT-micro on all 10,000 test images of Fashion-MNIST.
# Needs:    work_dirs/deit-micro_mixpro_fashion/epoch_12.pth from configs/fashion/deit-micro_mixpro_fashion.py
# Run:      mim test onedl-mmpretrain configs/robustness/deit-micro_calibration_fashion.py --checkpoint work_dirs/deit-micro_mixpro_fashion/epoch_12.pth
# Read:     calibration/top1 and calibration/ece, in percent
_base_ = '../fashion/deit-micro_mixpro_fashion.py'

test_evaluator = dict(_delete_=True, type='mixpro_mm.CalibrationMetric')
test_cfg = dict(type='mixpro_mm.RecordedTestLoop', out='calibration.json')
