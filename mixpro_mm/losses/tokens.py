"""Where the final patch tokens of a classifier come out."""

from torch import nn

__all__ = ['find_final_norm']

# class that defines the layout -> (norm after the last block, attribute that counts the tokens before the patches)
LAYOUTS = {
    'mmpretrain.models.backbones.vision_transformer.VisionTransformer': ('ln1', 'num_extra_tokens'),
    'timm.models.vision_transformer.VisionTransformer': ('norm', 'num_prefix_tokens'),
    'mixpro_mm.backbones.pvt.PVT': ('norm', 'num_extra_tokens'),
}


def find_final_norm(model: nn.Module) -> tuple[nn.Module, int]:
    """The module that puts out the final tokens (B, T, C) of a classifier, and how many stand before the patches.

    Raises:
        ValueError: if the backbone is not known here or was built without a final norm.
    """
    backbone = _backbone(model)
    name = type(backbone).__name__
    bases = (f'{base.__module__}.{base.__qualname__}' for base in type(backbone).__mro__)
    layout = next((LAYOUTS[base] for base in bases if base in LAYOUTS), None)
    if layout is None:
        known = ', '.join(f'{known.rsplit(".", 1)[1]} of {known.split(".")[0]}' for known in LAYOUTS)
        raise ValueError(f'{name} has no patch tokens known here ({known}), so LocalContextLoss has nothing to look at')
    norm = getattr(backbone, layout[0], None)
    if norm is None:
        raise ValueError(f'{name} was built without a final norm, where LocalContextLoss takes its patch tokens from')
    return norm, getattr(backbone, layout[1])


def _backbone(model: nn.Module) -> nn.Module:
    for name in ('backbone', 'timm_model', 'model'):
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Module):
            return _backbone(inner)
    return model
