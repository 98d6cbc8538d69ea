# PVT-M instead of PVT-S, from MixPro pre-training; no drop path, as in the PVT release.
# Paper:    not in the paper; the PVT release reports box AP 42.0, mask AP 39.0 for its weights (whai362/PVT)
# Needs:    the checkpoint of configs/pretrain/pvt-medium_mixpro_8xb128_in1k.py, and data/coco
# Run:      mim train onedl-mmdetection configs/detection/mask-rcnn_pvt-medium_mixpro_1x_coco.py --gpus 8 --launcher pytorch
# For another pre-training, append
#           --cfg-options model.backbone.init_cfg.checkpoint=work_dirs/pvt-medium_transmix_8xb128_in1k/epoch_300.pth
_base_ = 'mask-rcnn_pvt-small_mixpro_1x_coco.py'

model = dict(
    backbone=dict(
        arch='medium',
        drop_path_rate=0.0,
        init_cfg=dict(checkpoint='work_dirs/pvt-medium_mixpro_8xb128_in1k/epoch_300.pth'),
    )
)
