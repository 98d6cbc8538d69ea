"""Mixing methods and classifiers of the benchmark, as in training configs."""

from pathlib import Path

from mmengine.config import Config

from mixpro_mm.utils.configs import find_configs, read_config

__all__ = ['BASE', 'METHODS', 'USUAL', 'classifier_config', 'preprocessor_config']

BASE = 'CutMix'  # denominator of ratios
USUAL = ('Baseline', 'CutMix', 'TransMix', 'MaskMix', 'MixPro')
EXTRACTED = dict(type='mixpro_mm.AttentiveCutMix', extractor='torchvision.resnet50', checkpoint=False)
METHODS = {  # name -> entry of train_cfg.augments, and labeling of LabelingHook
    'Baseline': (None, None),
    'Mixup': (dict(type='Mixup', alpha=0.8), None),
    'ManifoldMixup': (dict(type='mixpro_mm.ManifoldMixup'), 'AreaLabeling'),
    'GridMix': (dict(type='mixpro_mm.GridMix'), None),
    'CutMix': (dict(type='CutMix', alpha=1.0), None),
    'AttentiveCutMix': (EXTRACTED, None),
    'SaliencyMix': (dict(type='mixpro_mm.SaliencyMix'), None),
    'PuzzleMix': (dict(type='mixpro_mm.PuzzleMix'), 'AreaLabeling'),
    'TransMix': (dict(type='mixpro_mm.RegionMix'), 'AttentionLabeling'),
    'MixToken': (dict(type='mixpro_mm.MixToken', patch_size=16), 'AreaLabeling'),
    'TokenMix': (dict(type='mixpro_mm.TokenMix', teacher='ema', patch_size=16), 'AreaLabeling'),
    'SMMix': (dict(type='mixpro_mm.SMMix', patch_size=16), 'AreaLabeling'),
    'BlockMix': (dict(type='mixpro_mm.BlockMix', patch_size=16), None),
    'MaskMix': (dict(type='mixpro_mm.MaskMix', patch_size=16), None),
    'MixPro': (dict(type='mixpro_mm.MixPro', patch_size=16), 'ProgressiveAttentionLabeling'),
}


def classifier_config(backbone: str, size: int, classes: int) -> Config:
    """Return the pre-training config of a backbone for images of ``size`` x ``size`` pixels and ``classes`` classes.

    Args:
        backbone: Name as in ``configs/pretrain/BACKBONE_mixpro_8xb128_in1k.py``, or the path of a config of mmpretrain.

    Raises:
        ValueError: if the config does not exist.
    """
    folder, suffix = find_configs() / 'pretrain', '_mixpro_8xb128_in1k.py'
    path = Path(backbone) if backbone.endswith('.py') else folder / f'{backbone}{suffix}'
    if not path.is_file():
        known = sorted(file.name.removesuffix(suffix) for file in folder.glob(f'*{suffix}'))
        raise ValueError(f'backbone {backbone!r} is unknown; known: {", ".join(known)}, or the path of a config')
    config = read_config(path)
    config.model.get('head', config.model).num_classes = config.data_preprocessor.num_classes = classes
    if 'backbone' in config.model:
        config.model.backbone.img_size = size
    return config


def preprocessor_config(config: Config, method: str, size: int) -> dict:
    """Return the config of the data preprocessor with the augment of ``method``.

    Patches and mask cells have the size of the config's MixPro, but an image has at least 4 x 4 cells.
    """
    augment, others = dict(METHODS[method][0] or {}), config.model.get('train_cfg', {}).get('augments', [])
    own = next((entry for entry in others if entry.type == 'mixpro_mm.MixPro'), {})
    patch, scale = own.get('patch_size', 16), own.get('mask_scale', 4)
    if 'patch_size' in augment:
        augment['patch_size'] = patch
    if method in ('MaskMix', 'MixPro'):
        augment['mask_scale'] = scale if size > 3 * scale * patch else max(size // (4 * patch), 1)
    augments = dict(augments=[augment]) if augment else None
    return dict(config.data_preprocessor, type='ClsDataPreprocessor', to_onehot=True, batch_augments=augments)
