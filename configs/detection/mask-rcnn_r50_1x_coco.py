# Mask R-CNN on ResNet-50, the config of mmdet: 8 GPUs x 2 images, SGD at 0.02. Only the evaluator
# differs; it gives the same numbers. The first run downloads the ImageNet-1k weights of torchvision.
# Paper:    Table 4, R-50: box AP 38.0, mask AP 34.4; not run here
# Data:     data/coco/{annotations/instances_{train,val}2017.json,train2017/*.jpg,val2017/*.jpg}
# Run:      mim train onedl-mmdetection configs/detection/mask-rcnn_r50_1x_coco.py --gpus 8 --launcher pytorch
# mmdet reports box AP 38.2, mask AP 34.7 for this config.
_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'

val_evaluator = test_evaluator = dict(type='FasterCocoMetric')
