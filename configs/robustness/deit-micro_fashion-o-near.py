# DeiT-micro on the near variant of FashionO: detection of dresses and sneakers, which are not in the training data, by
# low confidence. The test images of the other eight classes are the known images; no published number is comparable.
# Needs:    work_dirs/deit-micro_mixpro_fashion-8/epoch_12.pth from configs/fashion/evidence/deit-micro_mixpro_fashion-8.py
# Run:      mim test onedl-mmpretrain configs/robustness/deit-micro_fashion-o-near.py --checkpoint work_dirs/deit-micro_mixpro_fashion-8/epoch_12.pth
# Read:     ood/aupr, ood/auroc and ood/fpr95, in percent; 2000 of the 10000 images are unknown, aupr is 20.0 by chance
_base_ = '../fashion/evidence/deit-micro_mixpro_fashion-8.py'

pipeline = [*_base_.test_dataloader.dataset.pipeline[:-1], dict(type='PackInputs', algorithm_keys=['ood'])]
test_dataloader = dict(dataset=dict(type='mixpro_mm.FashionO', unknown='classes', pipeline=pipeline))
test_evaluator = dict(_delete_=True, type='mixpro_mm.OODMetric')
test_cfg = dict(type='mixpro_mm.RecordedTestLoop', out='ood.json')
