# A detector for test_robustness.py of mmdet, which makes COCO-C on the fly: docs/robustness.md.
_base_ = '../../configs/detection/mask-rcnn_pvt-small_mixpro_1x_coco.py'

custom_imports = dict(imports=['mixpro_mm.datasets'])  # registers Corrupt, which this mmdetection does not have
dataset_type = 'CocoDataset'  # or the tool fails before it prints the means
