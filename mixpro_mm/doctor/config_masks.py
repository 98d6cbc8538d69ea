"""Does the mask of each mixing method fit the images that the pipeline makes?"""

from __future__ import annotations

from collections.abc import Iterator

from mixpro_mm.config_walk import dicts
from mixpro_mm.doctor.finding import Finding, one_line, problem, warning

__all__ = ['check_masks', 'image_size']

CROPS = {
    'RandomResizedCrop': 'scale',
    'EfficientNetRandomCrop': 'scale',
    'EfficientNetCenterCrop': 'crop_size',
    'Resize': 'scale',
    'RandomCrop': 'crop_size',
    'CenterCrop': 'crop_size',
}
MASKS = ('MaskMix', 'MixPro', 'BlockMix', 'GridMix', 'RegionMix')  # that need the size of the images only
MODELS = ('PuzzleMix', 'SMMix')  # that need a model, but not to lay their grid
NETS = ('TokenMix', 'AttentiveCutMix')  # that would build or read a network


def image_size(config: dict) -> tuple[int, int] | None:
    """(height, width) in pixels after the last crop or resize of the training pipeline, else the backbone's."""
    size = None
    for _, node in dicts((config.get('train_dataloader') or {}).get('dataset')):
        name = str(node.get('type')).rpartition('.')[2]
        size_of = node.get(CROPS.get(name))
        if size_of is not None and not node.get('keep_ratio'):
            wide_first = isinstance(size_of, (list, tuple)) and name in ('Resize', 'CenterCrop')
            size = size_of[::-1] if wide_first else size_of
        elif 'Resize' in name or 'Pad' in name:
            size = 'unknown'  # depends on the image
    if size is None:
        size = ((config.get('model') or {}).get('backbone') or {}).get('img_size')
    pair = (size, size) if isinstance(size, int) else size
    whole = isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(side, int) for side in pair)
    return tuple(pair) if whole else None


def check_masks(config: dict) -> Iterator[Finding]:
    """Draw one mask of each method, on images that have a size and no pixels."""
    import torch

    import mixpro_mm.augments as ours

    size = image_size(config)
    for place, node in dicts(((config.get('model') or {}).get('train_cfg') or {}).get('augments'), 'augments'):
        name = str(node.get('type')).rpartition('.')[2]
        if name not in (*MASKS, *MODELS, *NETS) or size is None:
            continue
        place = f'model.train_cfg.{place}'
        try:
            augment = None if name in NETS else getattr(ours, name)(**{k: v for k, v in node.items() if k != 'type'})
            if name == 'PuzzleMix':
                augment.draw_grid(size)
            elif name == 'SMMix':
                augment.draw_side(tuple(-(-side // augment.patch_size) for side in size))
            elif name in NETS:
                _net_fits(name, node, size)
            else:
                augment.draw_mask(torch.empty(2, 3, *size, device='meta'), torch.arange(2))
        except TypeError:  # an argument that it has not: check_arguments
            continue
        except ValueError as error:
            yield problem('mask', f'{place} ({name}): {one_line(error)}', f'{place} = dict(...)')
            continue
        few = augment.few_cells(size) if hasattr(augment, 'few_cells') else None
        if few:
            yield warning('mask', f'{place} ({name}): {few}')


def _net_fits(name: str, node: dict, size: tuple[int, int]) -> None:
    """ValueError, as the method itself raises it at its first batch, where its grid does not fit the images."""
    if name == 'TokenMix' and node.get('patch_size', 16) >= max(size):
        patch = node.get('patch_size', 16)
        raise ValueError(f'patch_size {patch} leaves nothing to mix in an image of {size[0]}x{size[1]} pixels')
    if name == 'AttentiveCutMix' and node.get('grid', 7) > min(size):
        grid = node.get('grid', 7)
        raise ValueError(f'a {grid}x{grid} grid does not fit an image of {size[0]}x{size[1]} pixels')
