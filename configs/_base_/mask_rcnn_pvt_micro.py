# Mask R-CNN on PVT-micro, 10 classes, 16 epochs. Narrow heads for CPUs; group norm in the FPN, because the maps of PVT
# are not normalized and stage 4 of a pre-trained model is four times as large as of a new one; RoI levels for objects
# of 32 to 75 px.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/default_runtime.py',
    'micro_backbones.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mixpro_mm.PVT',
        arch=_base_.pvt_micro,
        img_size=96,
        out_type='featmap',
    ),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, num_outs=4, norm_cfg=dict(type='GN', num_groups=32)),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=28),
        bbox_head=dict(in_channels=64, fc_out_channels=128, num_classes=10),
        mask_roi_extractor=dict(out_channels=64, finest_scale=28),
        mask_head=dict(num_convs=2, in_channels=64, conv_out_channels=64, num_classes=10),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=20)),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=30),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=0, end=16, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=16, val_interval=1000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(interval=15),
    checkpoint=dict(interval=4, max_keep_ckpts=2),
)
