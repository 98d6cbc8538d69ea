"""The classifiers to train, as configs of mmpretrain."""

import copy

__all__ = ['BACKBONES', 'CLASSES', 'classifier_config', 'patch_size', 'preprocessor_config']

CLASSES = 1000
PREPROCESSOR = dict(
    type='ClsDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
    to_onehot=True,
)
BACKBONES = {  # drop path of 0.1 as in table 11 of MixPro
    f'deit-{arch}': dict(
        backbone=dict(type='VisionTransformer', arch=f'deit-{arch}', patch_size=16, drop_path_rate=0.1),
        head=dict(type='VisionTransformerClsHead', in_channels=width),
    )
    for arch, width in (('tiny', 192), ('small', 384), ('base', 768))
} | {
    f'pvt-{arch}': dict(
        backbone=dict(type='mixpro_mm.PVT', arch=arch, drop_path_rate=0.1),
        head=dict(type='LinearClsHead', in_channels=512),
    )
    for arch in ('tiny', 'small', 'medium', 'large')
}


def classifier_config(backbone: str, size: int, classes: int = CLASSES) -> dict:
    """Config of an ``ImageClassifier`` with the label smoothing of the paper's recipe, for square images.

    Raises:
        ValueError: for an unknown backbone, with the known ones.
    """
    if backbone not in BACKBONES:
        raise ValueError(f'backbone {backbone!r} is unknown; known: {", ".join(BACKBONES)}')
    config = copy.deepcopy(BACKBONES[backbone])
    config['backbone']['img_size'] = size
    loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=classes, mode='original')
    config['head'].update(num_classes=classes, loss=loss)
    return dict(type='ImageClassifier', data_preprocessor=preprocessor_config(None, classes), **config)


def preprocessor_config(augment: dict | None, classes: int = CLASSES) -> dict:
    """Config of the data preprocessor that ``train_cfg=dict(augments=[augment])`` gives the classifier."""
    augments = None if augment is None else dict(augments=[augment])
    return dict(PREPROCESSOR, num_classes=classes, batch_augments=augments)


def patch_size(backbone: str) -> int:
    """Pixels along the patch that masks are built from; 16 where the model has patches of several sizes."""
    return BACKBONES[backbone]['backbone'].get('patch_size', 16)
