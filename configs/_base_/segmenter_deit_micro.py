# Segmenter (mask transformer) on DeiT-micro, background and 10 classes, 1,000 iterations.
_base_ = ['mmseg_runtime.py', 'micro_backbones.py']

model = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch=_base_.deit_micro,
        img_size=32,
        patch_size=4,
        out_type='featmap',
    ),
    decode_head=dict(
        type='SegmenterMaskTransformerHead',
        in_channels=64,
        channels=64,
        embed_dims=64,
        num_classes=11,
        num_layers=2,
        num_heads=4,
        dropout_ratio=0.0,
        # 90 % of the pixels are background
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0, class_weight=[0.1] + [1.0] * 10),
    ),
    test_cfg=dict(mode='slide', crop_size=(32, 32), stride=(16, 16)),
)

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=False, end=30),
    dict(type='PolyLR', eta_min=1e-5, power=0.9, by_epoch=False, begin=30, end=1000),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1000, val_interval=10000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=200, max_keep_ckpts=2),
)
