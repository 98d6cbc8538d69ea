# Mask R-CNN on PVT-S from pre-training with Mixup and CutMix; otherwise as the MixPro config.
# Paper:    Table 4, PVT-S: box AP 40.4, mask AP 37.8; not run here
# Needs:    the checkpoint of configs/pretrain/pvt-small_mixup-cutmix_8xb128_in1k.py, and data/coco
# Run:      mim train onedl-mmdetection configs/detection/mask-rcnn_pvt-small_baseline_1x_coco.py --gpus 8 --launcher pytorch
_base_ = 'mask-rcnn_pvt-small_mixpro_1x_coco.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='work_dirs/pvt-small_mixup-cutmix_8xb128_in1k/epoch_300.pth')))
