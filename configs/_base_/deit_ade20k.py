# DeiT-S on ADE20K: 8 GPUs x 1 image, 160k iterations, windows of 512 px; the rest as on Pascal Context. Data, sizes and
# iterations are those of mmseg's Segmenter on ADE20K; multi-scale tests resize the short side to 256 to 896 px.
# Data:     data/ade/ADEChallengeData2016/{images,annotations}/{training,validation}
_base_ = 'deit_pascal_context.py'

crop_size = (512, 512)
scale = (2048, 512)  # maximum long side, short side
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomResize', scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
ratios = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(int(2048 * r), int(512 * r)), keep_ratio=True) for r in ratios],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='LoadAnnotations', reduce_zero_label=True)],
            [dict(type='PackSegInputs')],
        ],
    ),
]

data_preprocessor = dict(size=crop_size)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(img_size=512),
    test_cfg=dict(crop_size=crop_size, stride=(480, 480)),
)
tta_model = dict(data_preprocessor=data_preprocessor)

ade = dict(_delete_=True, type='ADE20KDataset', data_root='data/ade/ADEChallengeData2016')
train_prefix = dict(img_path='images/training', seg_map_path='annotations/training')
val_prefix = dict(img_path='images/validation', seg_map_path='annotations/validation')
train_dataloader = dict(batch_size=1, dataset=dict(ade, data_prefix=train_prefix, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(ade, data_prefix=val_prefix, pipeline=test_pipeline))
test_dataloader = val_dataloader

param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=1e-5, begin=0, end=160000, by_epoch=False)]
train_cfg = dict(max_iters=160000, val_interval=16000)
default_hooks = dict(checkpoint=dict(interval=16000))
