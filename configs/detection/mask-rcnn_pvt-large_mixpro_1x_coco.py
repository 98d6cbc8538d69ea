# PVT-L instead of PVT-S, from MixPro pre-training; no drop path, 8 GPUs x 1 image, learning rate 2e-4 / 1.4, as in the
# PVT release.
# Paper:    not in the paper; the PVT release reports box AP 42.9, mask AP 39.5 for its weights (whai362/PVT)
# Needs:    the checkpoint of configs/pretrain/pvt-large_mixpro_8xb128_in1k.py, and data/coco
# Run:      mim train onedl-mmdetection configs/detection/mask-rcnn_pvt-large_mixpro_1x_coco.py --gpus 8 --launcher pytorch
# For another pre-training, append
#           --cfg-options model.backbone.init_cfg.checkpoint=work_dirs/pvt-large_transmix_8xb128_in1k/epoch_300.pth
_base_ = 'mask-rcnn_pvt-small_mixpro_1x_coco.py'

model = dict(
    backbone=dict(
        arch='large',
        drop_path_rate=0.0,
        init_cfg=dict(checkpoint='work_dirs/pvt-large_mixpro_8xb128_in1k/epoch_300.pth'),
    )
)
train_dataloader = dict(batch_size=1)
optim_wrapper = dict(optimizer=dict(lr=2e-4 / 1.4))
auto_scale_lr = dict(base_batch_size=8)
