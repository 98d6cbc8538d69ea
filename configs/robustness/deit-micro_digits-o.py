# DeiT-micro on DigitsO: whether low confidence tells views of 8 and 9, which it never saw and which a small CNN is sure
# to know, from views of held-out scans of 0 to 7 that are drawn alike.
# These are digits filtered the way ImageNet-O was, not ImageNet-O: there is no published number to compare with.
# Needs:    work_dirs/deit-micro_mixpro_digits-8/epoch_25.pth from configs/digits/evidence/deit-micro_mixpro_digits-8.py
# Run:      mim test onedl-mmpretrain configs/robustness/deit-micro_digits-o.py --checkpoint work_dirs/deit-micro_mixpro_digits-8/epoch_25.pth
# Read:     ood/aupr, ood/auroc and ood/fpr95, in percent; 317 of the 887 images are of 8 or 9, so chance of aupr is 35.7
# Others:   this file with another pre-training on digits-8 as _base_
_base_ = '../digits/evidence/deit-micro_mixpro_digits-8.py'

packed = dict(type='PackInputs', algorithm_keys=['ood'])
pipeline = [*_base_.test_dataloader.dataset.pipeline[:-1], packed]
test_dataloader = dict(dataset=dict(_delete_=True, type='mixpro_mm.DigitsO', pipeline=pipeline))
test_evaluator = dict(_delete_=True, type='mixpro_mm.OODMetric')
test_cfg = dict(type='mixpro_mm.RecordedTestLoop', out='ood.json')
