# DeiT-micro on FashionO: detection of handwritten digits by low confidence. The test images of Fashion-MNIST are the
# known images. The unknown ones are not filtered, unlike in ImageNet-O; no published number is comparable.
# Needs:    work_dirs/deit-micro_mixpro_fashion/epoch_12.pth from configs/fashion/deit-micro_mixpro_fashion.py
# Run:      mim test onedl-mmpretrain configs/robustness/deit-micro_fashion-o.py --checkpoint work_dirs/deit-micro_mixpro_fashion/epoch_12.pth
# Read:     ood/aupr, ood/auroc and ood/fpr95, in percent; 1797 of the 11797 images are unknown, aupr is 15.2 by chance
_base_ = '../fashion/deit-micro_mixpro_fashion.py'

pipeline = [*_base_.test_dataloader.dataset.pipeline[:-1], dict(type='PackInputs', algorithm_keys=['ood'])]
test_dataloader = dict(dataset=dict(type='mixpro_mm.FashionO', unknown='digits', pipeline=pipeline))
test_evaluator = dict(_delete_=True, type='mixpro_mm.OODMetric')
test_cfg = dict(type='mixpro_mm.RecordedTestLoop', out='ood.json')
