# The digits of scikit-learn at 32 px: 1,442 train and 355 test images, no download.
# Training images are shifted, scaled and coloured, so that the features transfer to the coloured digits of the digit
# scenes. No flip, because digits are not symmetric.
# Schedule: AdamW, warm-up, cosine, 50 epochs of 23 batches.
_base_ = 'mmpretrain::_base_/default_runtime.py'

data_preprocessor = dict(
    num_classes=10,
    mean=[123.675, 116.28, 103.53],  # RGB
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

contrasts = [[1, 1, 1], [1, 1, 1.6], [1, 1.6, 1], [1.6, 1, 1], [1, 1.6, 1.6], [1.6, 1, 1.6], [1.6, 1.6, 1]]
train_pipeline = [
    dict(type='RandomCrop', crop_size=40, padding=4),  # not random: pads 4 px on each side
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.7, 1.0), aspect_ratio_range=(0.8, 1.25)),
    # foreground: scale each channel; background: shift each channel (floats, because Lighting overflows integers)
    dict(
        type='RandomChoice',
        transforms=[[dict(type='Normalize', mean=[0, 0, 0], std=c, to_rgb=False)] for c in contrasts],
    ),
    dict(type='Lighting', eigval=[1, 1, 1], eigvec=[[1, 0, 0], [0, 1, 0], [0, 0, 1]], alphastd=15.0),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

workers = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=64,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='mixpro_mm.Digits', split='train', img_size=32, pipeline=train_pipeline),
    **workers,
)
val_dataloader = dict(
    batch_size=128,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='mixpro_mm.Digits', split='test', img_size=32, pipeline=test_pipeline),
    **workers,
)
test_dataloader = val_dataloader

val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator

optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={'.cls_token': dict(decay_mult=0.0), '.pos_embed': dict(decay_mult=0.0)},
    ),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-2, by_epoch=True, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=5, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=50, val_interval=5)
val_cfg = dict()
test_cfg = dict()

default_hooks = dict(
    logger=dict(type='LoggerHook', interval=23),
    checkpoint=dict(type='CheckpointHook', interval=5, max_keep_ckpts=2),
)
