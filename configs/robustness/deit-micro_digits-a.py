# DeiT-micro on DigitsA: views of held-out scans of 0 to 7 that a small CNN misclassifies and people do not. The digits
# are filtered like ImageNet-A; no published number is comparable.
# Needs:    work_dirs/deit-micro_mixpro_digits-8/epoch_25.pth from configs/digits/evidence/deit-micro_mixpro_digits-8.py
# Run:      mim test onedl-mmpretrain configs/robustness/deit-micro_digits-a.py --checkpoint work_dirs/deit-micro_mixpro_digits-8/epoch_25.pth
# Read:     calibration/top1, calibration/rms_calibration_error and calibration/aurra, in percent
# Others:   replace _base_ by another pre-training on digits-8
_base_ = '../digits/evidence/deit-micro_mixpro_digits-8.py'

test_dataloader = dict(
    dataset=dict(_delete_=True, type='mixpro_mm.DigitsA', pipeline=_base_.test_dataloader.dataset.pipeline)
)
test_evaluator = dict(_delete_=True, type='mixpro_mm.CalibrationMetric', bin_size=25)  # 17 bins of 439 images
test_cfg = dict(type='mixpro_mm.RecordedTestLoop', out='calibration.json')
