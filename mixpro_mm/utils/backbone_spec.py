"""Where backbones keep what others want to look into: one table of those that are known."""

from typing import NamedTuple

from torch import nn

__all__ = ['BACKBONE_SPECS', 'BackboneSpec', 'backbone_spec', 'find_backbone', 'known_backbones']


class BackboneSpec(NamedTuple):
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


BACKBONE_SPECS = {  # class that defines the attributes -> spec
    'mmpretrain.models.backbones.vision_transformer.VisionTransformer': BackboneSpec(
        'layers', 'num_extra_tokens', 'ln1'
    ),
    'mmpretrain.models.backbones.xcit.XCiT': BackboneSpec('ca_layers', 1, 'norm'),
    'timm.models.vision_transformer.VisionTransformer': BackboneSpec('blocks', 'num_prefix_tokens', 'norm'),
    'timm.models.cait.Cait': BackboneSpec('blocks_token_only', 'num_prefix_tokens', 'norm'),
    'timm.models.xcit.Xcit': BackboneSpec('cls_attn_blocks', 'num_prefix_tokens', 'norm'),
    'mixpro_mm.models.pvt.PVT': BackboneSpec('block4', 'num_extra_tokens', 'norm'),
    'mixpro_mm.models.ca_swin.CASwin': BackboneSpec('ca_block', 'num_extra_tokens', None),
}


def backbone_spec(backbone: nn.Module) -> BackboneSpec | None:
    """The spec of a backbone, by its class or the nearest known class it extends; None for others."""
    names = (f'{base.__module__}.{base.__qualname__}' for base in type(backbone).__mro__)
    return next((BACKBONE_SPECS[name] for name in names if name in BACKBONE_SPECS), None)


def known_backbones(with_norm: bool = False) -> str:
    """Names of all, or of those with a norm of the final tokens, for messages."""
    names = [name for name, spec in BACKBONE_SPECS.items() if spec.norm or not with_norm]
    return ', '.join(f'{name.rsplit(".", 1)[1]} of {name.split(".")[0]}' for name in names)


def find_backbone(model: nn.Module) -> nn.Module:
    """The backbone inside a classifier, a wrapper or both; a backbone as it is."""
    for name in ('module', 'backbone', 'timm_model', 'model'):
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Module):
            return find_backbone(inner)
    return model
