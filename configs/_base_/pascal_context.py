# Pascal Context (VOC 2010), 60 classes with the background as class 0; see docs/hand_over.md for its preparation.
# Settings of the Segmenter authors for this data: the short side is resized to 520 px, so that a window of 480 px is
# never larger than an image. The base config of mmseg, (520, 520), limits the long side.
# Data:     data/VOCdevkit/VOC2010/{JPEGImages,SegmentationClassContext,ImageSets/SegmentationContext}
crop_size = (480, 480)
scale = (4160, 520)  # maximum long side, short side

data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=crop_size,
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=scale, ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations'),  # after Resize, because metrics use the original labels
    dict(type='PackSegInputs'),
]

ratios = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
# Multi-scale test with flips. Ratios apply to 520 px, as in mmseg 0.x; in mmseg 1.x they apply to the image size.
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(int(4160 * r), int(520 * r)), keep_ratio=True) for r in ratios],
            [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ],
    ),
]
# At ratios 0.5 and 0.75, sides are shorter than a window and not a multiple of 16. The padding must happen here:
# padding in the backbone is not removed, and a map of 272 px would be resized to an image of 260 px. The Segmenter code
# enlarges such images to 480 px; mmseg does not.
tta_model = dict(type='SegTTAModel', data_preprocessor=dict(data_preprocessor, test_cfg=dict(size_divisor=16)))

context = dict(
    type='PascalContextDataset',
    data_root='data/VOCdevkit/VOC2010',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClassContext'),
)
workers = dict(num_workers=4, persistent_workers=True)
train_dataloader = dict(
    batch_size=4,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(context, ann_file='ImageSets/SegmentationContext/train.txt', pipeline=train_pipeline),
    **workers,
)
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(context, ann_file='ImageSets/SegmentationContext/val.txt', pipeline=test_pipeline),
    **workers,
)
test_dataloader = val_dataloader

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
