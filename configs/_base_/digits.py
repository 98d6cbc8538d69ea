# The digits inside scikit-learn at 32 px: 1,442 train and 355 test images, nothing to download.
# Training shows them moved, scaled and tilted, in many inks on many papers, so that the features also serve the
# coloured digits of the digit scenes. No flip: these are digits.
default_scope = 'mmpretrain'

data_preprocessor = dict(
    num_classes=10,
    mean=[123.675, 116.28, 103.53],  # RGB
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

contrasts = [[1, 1, 1], [1, 1.5, 2.5], [1, 2.5, 1.5], [1.5, 1, 2.5], [1.5, 2.5, 1], [2.5, 1, 1.5], [2.5, 1.5, 1]]
train_pipeline = [
    dict(type='RandomCrop', crop_size=44, padding=6),  # 6 px of paper all round, then 0.73 to 0.94 of the size
    dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.6, 1.0), aspect_ratio_range=(0.8, 1.25)),
    dict(type='Rotate', magnitude_range=(0, 12), magnitude_std='inf', pad_val=0, interpolation='bilinear'),
    dict(type='Invert', prob=0.5),
    # colour: divide each channel by its own number, then shift each on its own
    dict(
        type='RandomChoice',
        transforms=[[dict(type='Normalize', mean=[0, 0, 0], std=c, to_rgb=False)] for c in contrasts],
    ),
    dict(type='Lighting', eigval=[1, 1, 1], eigvec=[[1, 0, 0], [0, 1, 0], [0, 0, 1]], alphastd=40.0),
    dict(
        type='RandomErasing',
        erase_prob=0.25,
        mode='rand',
        min_area_ratio=0.02,
        max_area_ratio=0.1,
        fill_color=[103.53, 116.28, 123.675],
        fill_std=[57.375, 57.12, 58.395],
    ),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='mixpro_mm.Digits', split='train', img_size=32, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='mixpro_mm.Digits', split='test', img_size=32, pipeline=test_pipeline),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator
