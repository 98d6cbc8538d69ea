"""Find the final patch tokens of a classifier."""

from torch import nn

from mixpro_mm.utils.backbone_spec import backbone_spec, find_backbone, known_backbones

__all__ = ['find_final_norm']


def find_final_norm(model: nn.Module) -> tuple[nn.Module, int]:
    """Return the module whose output is the final tokens (B, T, C), and the number of tokens before the patches.

    Raises:
        ValueError: If the backbone is unknown or has no final norm of its patch tokens.
    """
    backbone = find_backbone(model)
    name, spec = type(backbone).__name__, backbone_spec(backbone)
    if spec is None:
        known = known_backbones(with_norm=True)
        raise ValueError(f'{name} has no known patch tokens for LocalContextLoss (known: {known})')
    norm = spec.norm and getattr(backbone, spec.norm, None)
    if norm is None:
        raise ValueError(f'{name} has no final norm of its patch tokens, which LocalContextLoss needs')
    return norm, spec.prefix_tokens(backbone)
