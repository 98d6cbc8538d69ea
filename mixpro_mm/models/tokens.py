"""Where the final patch tokens of a classifier come out."""

from torch import nn

from mixpro_mm.utils.backbone_spec import backbone_spec, find_backbone, known_backbones

__all__ = ['find_final_norm']


def find_final_norm(model: nn.Module) -> tuple[nn.Module, int]:
    """The module that puts out the final tokens (B, T, C) of a classifier, and how many stand before the patches.

    Raises:
        ValueError: if the backbone is not known here or has no final norm of its patch tokens.
    """
    backbone = find_backbone(model)
    name, spec = type(backbone).__name__, backbone_spec(backbone)
    if spec is None:
        known = known_backbones(with_norm=True)
        raise ValueError(f'{name} has no patch tokens known here ({known}), so LocalContextLoss has nothing to look at')
    norm = spec.norm and getattr(backbone, spec.norm, None)
    if norm is None:
        raise ValueError(f'{name} has no final norm of its patch tokens, where LocalContextLoss takes them from')
    return norm, spec.prefix_tokens(backbone)
