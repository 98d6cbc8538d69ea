# Digit scenes in the layout of Pascal Context (VOC 2010): 240 train and 80 val scenes of 96 px, background + 10 digits.
# Create them once: python -m mixpro_mm.datasets.digit_scenes data/digit_scenes
# The dataset class is the base class of mmseg's PascalContextDataset, whose 60 class names cannot be changed.
# Scenes are resized to 64 px and cropped to 32 px, the size of the pre-training images.
crop_size = (32, 32)
metainfo = dict(
    classes=('background', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'),
    palette=[
        [60, 60, 60], [230, 25, 75], [245, 130, 48], [255, 225, 25], [170, 255, 60], [60, 180, 75], [70, 240, 240],
        [0, 130, 200], [145, 30, 180], [240, 50, 230], [170, 110, 40],
    ],
)  # fmt: skip

data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=crop_size,
)

train_pipeline = [  # no flip, because digits are not symmetric
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(64, 64), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.9),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(64, 64), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]

scenes = dict(
    type='BaseSegDataset',
    data_root='data/digit_scenes/VOCdevkit/VOC2010',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
    metainfo=metainfo,
)
workers = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=32,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(scenes, ann_file='ImageSets/SegmentationContext/train.txt', pipeline=train_pipeline),
    **workers,
)
val_dataloader = dict(
    batch_size=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(scenes, ann_file='ImageSets/SegmentationContext/val.txt', pipeline=test_pipeline),
    **workers,
)
test_dataloader = val_dataloader

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator

tta_model = dict(type='SegTTAModel')
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(side, side), keep_ratio=True) for side in (48, 64, 80)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
