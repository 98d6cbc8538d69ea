"""What is compared: mixing methods and classifiers, as training configs name them."""

import copy
from collections.abc import Iterable

__all__ = ['BACKBONES', 'BASE', 'METHODS', 'USUAL', 'classifier_config', 'method_names', 'preprocessor_config']

BASE = 'CutMix'  # ratios refer to it
USUAL = ('Baseline', 'CutMix', 'TransMix', 'MaskMix', 'MixPro')
METHODS = {  # name -> entry of train_cfg.augments, whose patch_size is set to the model's; labeling of LabelingHook
    'Baseline': (None, None),
    'Mixup': (dict(type='Mixup', alpha=0.8), None),
    'GridMix': (dict(type='mixpro_mm.GridMix'), None),
    'CutMix': (dict(type='CutMix', alpha=1.0), None),
    # random weights take as long as trained ones
    'AttentiveCutMix': (
        dict(type='mixpro_mm.AttentiveCutMix', extractor='torchvision.resnet50', checkpoint=False),
        None,
    ),
    'SaliencyMix': (dict(type='mixpro_mm.SaliencyMix'), None),
    'PuzzleMix': (dict(type='mixpro_mm.PuzzleMix'), 'AreaLabeling'),
    'TransMix': (dict(type='mixpro_mm.RegionMix'), 'AttentionLabeling'),
    'TokenMix': (dict(type='mixpro_mm.TokenMix', teacher='ema', patch_size=16), 'AreaLabeling'),
    'SMMix': (dict(type='mixpro_mm.SMMix', patch_size=16), 'AreaLabeling'),
    'BlockMix': (dict(type='mixpro_mm.BlockMix', patch_size=16), None),
    'MaskMix': (dict(type='mixpro_mm.MaskMix', patch_size=16), None),
    'MixPro': (dict(type='mixpro_mm.MixPro', patch_size=16), 'ProgressiveAttentionLabeling'),
}
BACKBONES = {  # drop path of 0.1 as in Table 11 of MixPro
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
IMAGES = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True, to_onehot=True)


def method_names(wanted: Iterable[str]) -> list[str]:
    """The names in the order of ``METHODS``, each once; 'all' stands for every method.

    Raises:
        ValueError: for an unknown name.
    """
    if unknown := set(wanted) - {*METHODS, 'all'}:
        raise ValueError(f'method {min(unknown)!r} is unknown; known: {", ".join(METHODS)}, and all')
    return [name for name in METHODS if name in wanted or 'all' in wanted]


def classifier_config(backbone: str, size: int, classes: int) -> dict:
    """Config of an ``ImageClassifier`` with the label smoothing of the paper, for square images of ``size`` pixels."""
    config = copy.deepcopy(BACKBONES[backbone])
    config['backbone']['img_size'] = size
    loss = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=classes, mode='original')
    config['head'].update(num_classes=classes, loss=loss)
    return dict(type='ImageClassifier', **config)


def preprocessor_config(method: str, backbone: str, size: int, classes: int) -> dict:
    """Config of the data preprocessor with the augment of ``method``.

    Mask cells of MaskMix and MixPro span 4 patches, less where the image would have fewer than 4 x 4 of them.
    """
    augment = dict(METHODS[method][0] or {})
    if 'patch_size' in augment:
        augment['patch_size'] = patch = BACKBONES[backbone]['backbone'].get('patch_size', 16)
        if method in ('MaskMix', 'MixPro') and size <= 3 * 4 * patch:
            augment['mask_scale'] = max(size // (4 * patch), 1)
    augments = dict(augments=[augment]) if augment else None
    return dict(type='ClsDataPreprocessor', num_classes=classes, batch_augments=augments, **IMAGES)
