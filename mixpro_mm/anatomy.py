"""Where backbones keep what others want to look into: one table of those that are known."""

from typing import NamedTuple

from torch import nn

__all__ = ['ANATOMIES', 'Anatomy', 'anatomy_of', 'find_backbone', 'known_backbones']


class Anatomy(NamedTuple):
    """Attributes of a backbone.

    Args:
        blocks: Its last blocks, or its last block, with an attention module ``attn``.
        prefix: The number of tokens before the patches in them, or the attribute that counts them.
        norm: The norm that puts out the final tokens (B, T, C), the patches among them; None if there is none.
    """

    blocks: str
    prefix: str | int
    norm: str | None

    def last_block(self, backbone: nn.Module) -> nn.Module:
        """The last block, a class-attention block where there are such."""
        blocks = getattr(backbone, self.blocks)
        return blocks[-1] if isinstance(blocks, nn.ModuleList | nn.Sequential) else blocks

    def prefix_tokens(self, backbone: nn.Module) -> int:
        """Number of tokens before the patches in the last blocks."""
        return self.prefix if isinstance(self.prefix, int) else getattr(backbone, self.prefix)


ANATOMIES = {  # class that defines the anatomy -> anatomy
    'mmpretrain.models.backbones.vision_transformer.VisionTransformer': Anatomy('layers', 'num_extra_tokens', 'ln1'),
    'mmpretrain.models.backbones.xcit.XCiT': Anatomy('ca_layers', 1, 'norm'),
    'timm.models.vision_transformer.VisionTransformer': Anatomy('blocks', 'num_prefix_tokens', 'norm'),
    'timm.models.cait.Cait': Anatomy('blocks_token_only', 'num_prefix_tokens', 'norm'),
    'timm.models.xcit.Xcit': Anatomy('cls_attn_blocks', 'num_prefix_tokens', 'norm'),
    'mixpro_mm.backbones.pvt.PVT': Anatomy('block4', 'num_extra_tokens', 'norm'),
    'mixpro_mm.backbones.ca_swin.CASwin': Anatomy('ca_block', 'num_extra_tokens', None),
}


def anatomy_of(backbone: nn.Module) -> Anatomy | None:
    """The anatomy of a backbone, by its class or the nearest known class it extends; None for others."""
    names = (f'{base.__module__}.{base.__qualname__}' for base in type(backbone).__mro__)
    return next((ANATOMIES[name] for name in names if name in ANATOMIES), None)


def known_backbones(with_norm: bool = False) -> str:
    """Names of all, or of those with a norm of the final tokens, for messages."""
    names = [name for name, anatomy in ANATOMIES.items() if anatomy.norm or not with_norm]
    return ', '.join(f'{name.rsplit(".", 1)[1]} of {name.split(".")[0]}' for name in names)


def find_backbone(model: nn.Module) -> nn.Module:
    """The backbone inside a classifier, a wrapper or both; a backbone as it is."""
    for name in ('module', 'backbone', 'timm_model', 'model'):
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Module):
            return find_backbone(inner)
    return model
