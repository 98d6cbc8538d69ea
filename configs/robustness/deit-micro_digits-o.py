# DeiT-micro on DigitsO: detection of 8 and 9, which are not in the training data and which a small CNN classifies with
# high confidence, by low confidence. Views of held-out scans of 0 to 7 are the known images. The digits are filtered
# like ImageNet-O; no published number is comparable.
# Needs:    work_dirs/deit-micro_mixpro_digits-8/epoch_25.pth from configs/digits/evidence/deit-micro_mixpro_digits-8.py
# Run:      mim test onedl-mmpretrain configs/robustness/deit-micro_digits-o.py --checkpoint work_dirs/deit-micro_mixpro_digits-8/epoch_25.pth
# Read:     ood/aupr, ood/auroc and ood/fpr95, in percent; 317 of the 887 images are of 8 or 9, so aupr is 35.7 by chance
# Others:   replace _base_ by another pre-training on digits-8
_base_ = '../digits/evidence/deit-micro_mixpro_digits-8.py'

packed = dict(type='PackInputs', algorithm_keys=['ood'])
pipeline = [*_base_.test_dataloader.dataset.pipeline[:-1], packed]
test_dataloader = dict(dataset=dict(_delete_=True, type='mixpro_mm.DigitsO', pipeline=pipeline))
test_evaluator = dict(_delete_=True, type='mixpro_mm.OODMetric')
test_cfg = dict(type='mixpro_mm.RecordedTestLoop', out='ood.json')
