"""Configs of micro classifiers."""

__all__ = ['CHANNELS', 'CLASSES', 'EXTRACTOR', 'SIGMOID_LOSS', 'SMOOTH_LOSS', 'SOFT_LOSS', 'deit', 'pvt', 'swin']

CHANNELS = 16
CLASSES = 5  # for losses with their own classifier
SMOOTH_LOSS = dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
SOFT_LOSS = dict(type='CrossEntropyLoss', use_soft=True)
SIGMOID_LOSS = dict(type='CrossEntropyLoss', use_sigmoid=True)
EXTRACTOR = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=11, in_channels=32),
)


def deit(size: tuple[int, int], classes: int, loss) -> dict:
    arch = dict(embed_dims=CHANNELS, num_layers=1, num_heads=2, feedforward_channels=16)
    return dict(
        type='ImageClassifier',
        backbone=dict(type='VisionTransformer', arch=arch, img_size=size, patch_size=8),
        head=dict(type='VisionTransformerClsHead', num_classes=classes, in_channels=CHANNELS, loss=loss),
    )


def pvt(size: tuple[int, int], classes: int, loss) -> dict:
    ones = (1, 1, 1, 1)
    arch = dict(
        embed_dims=(4, 4, 8, CHANNELS), num_heads=(1, 1, 1, 2), mlp_ratios=ones, depths=ones, sr_ratios=(4, 2, 1, 1)
    )
    return dict(
        type='ImageClassifier',
        backbone=dict(type='mixpro_mm.PVT', arch=arch, img_size=size),
        head=dict(type='LinearClsHead', num_classes=classes, in_channels=CHANNELS, loss=loss),
    )


def swin(size: tuple[int, int], classes: int, loss) -> dict:
    arch = dict(embed_dims=CHANNELS // 2, depths=(1, 2), num_heads=(1, 2))
    return dict(
        type='ImageClassifier',
        backbone=dict(type='mixpro_mm.CASwin', arch=arch, img_size=size, window_size=2, pad_small_map=True),
        head=dict(type='LinearClsHead', num_classes=classes, in_channels=CHANNELS, loss=loss),
    )
