# Digit scenes in the layout of COCO 2017: 240 train and 80 val scenes of 96 px, 10 digits, masks of the visible parts.
# Create them once: python -m mixpro_mm.datasets.digit_scenes data/digit_scenes
# Scenes are resized to 128 px and cropped to 96 px: digits are then 32 to 75 px, similar to pre-training at 64 px.
data_root = 'data/digit_scenes/coco/'
metainfo = dict(
    classes=('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'),
    palette=[
        (230, 25, 75), (245, 130, 48), (255, 225, 25), (170, 255, 60), (60, 180, 75), (70, 240, 240), (0, 130, 200),
        (145, 30, 180), (240, 50, 230), (170, 110, 40),
    ],
)  # fmt: skip

data_preprocessor = dict(
    type='DetDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_mask=True,
    pad_size_divisor=32,
)

train_pipeline = [  # no flip, because digits are not symmetric
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),  # RLE needs poly2mask=True, the default
    dict(type='RandomResize', scale=(128, 128), ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(96, 96), allow_negative_crop=False),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
]

scenes = dict(type='CocoDataset', data_root=data_root, metainfo=metainfo)
workers = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=8,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        scenes,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
    ),
    **workers,
)
val_dataloader = dict(
    batch_size=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        scenes,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
    **workers,
)
test_dataloader = val_dataloader

val_evaluator = dict(
    type='FasterCocoMetric', ann_file=data_root + 'annotations/instances_val2017.json', metric=['bbox', 'segm']
)
test_evaluator = val_evaluator
