# Mask R-CNN on PVT-S from pre-training with TransMix; otherwise as the MixPro config.
# Paper:    Table 4, TransMix-PVT-S: box AP 40.9, mask AP 38.4; not run here
# Needs:    the checkpoint of configs/pretrain/pvt-small_transmix_8xb128_in1k.py, and data/coco
# Run:      mim train onedl-mmdetection configs/detection/mask-rcnn_pvt-small_transmix_1x_coco.py --gpus 8 --launcher pytorch
_base_ = 'mask-rcnn_pvt-small_mixpro_1x_coco.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='work_dirs/pvt-small_transmix_8xb128_in1k/epoch_300.pth')))
