"""A table of known backbones and the attributes that other modules read."""

from typing import NamedTuple

from torch import nn

__all__ = ['BACKBONE_SPECS', 'BackboneSpec', 'backbone_spec', 'find_backbone', 'known_backbones']


class BackboneSpec(NamedTuple):
    """Attributes of a backbone."""

    blocks: str  # attribute of the last block or blocks, with an attention module ``attn``
    prefix: str | int  # number of tokens before the patches in these blocks, or the attribute with this number
    norm: str | None  # attribute of the norm that returns the final tokens (B, T, C), patches included

    def last_block(self, backbone: nn.Module) -> nn.Module:
        """Return the last block, which is a class-attention block if the backbone has any."""
        blocks = getattr(backbone, self.blocks)
        return blocks[-1] if isinstance(blocks, nn.ModuleList | nn.Sequential) else blocks

    def prefix_tokens(self, backbone: nn.Module) -> int:
        """Return the number of tokens before the patches in the last blocks."""
        return self.prefix if isinstance(self.prefix, int) else getattr(backbone, self.prefix)


VIT = 'vision_transformer.VisionTransformer'
BACKBONE_SPECS = {  # class that defines the attributes -> spec
    f'mmpretrain.models.backbones.{VIT}': BackboneSpec('layers', 'num_extra_tokens', 'ln1'),
    'mmpretrain.models.backbones.xcit.XCiT': BackboneSpec('ca_layers', 1, 'norm'),
    f'timm.models.{VIT}': BackboneSpec('blocks', 'num_prefix_tokens', 'norm'),
    'timm.models.cait.Cait': BackboneSpec('blocks_token_only', 'num_prefix_tokens', 'norm'),
    'timm.models.xcit.Xcit': BackboneSpec('cls_attn_blocks', 'num_prefix_tokens', 'norm'),
    'mixpro_mm.models.pvt.PVT': BackboneSpec('block4', 'num_extra_tokens', 'norm'),
    'mixpro_mm.models.class_token_vit.ClassTokenViT': BackboneSpec('layers', 'num_extra_tokens', None),
    'mixpro_mm.models.ca_swin.CASwin': BackboneSpec('ca_block', 'num_extra_tokens', None),
}


def backbone_spec(backbone: nn.Module) -> BackboneSpec | None:
    """Return the spec of the class of a backbone or of its nearest known base class, or None."""
    names = (f'{base.__module__}.{base.__qualname__}' for base in type(backbone).__mro__)
    return next((BACKBONE_SPECS[name] for name in names if name in BACKBONE_SPECS), None)


def known_backbones(with_norm: bool = False) -> str:
    """Return the names of all known backbones, or of those with a final norm, for messages."""
    names = [name for name, spec in BACKBONE_SPECS.items() if spec.norm or not with_norm]
    return ', '.join(f'{name.rsplit(".", 1)[1]} of {name.split(".")[0]}' for name in names)


def find_backbone(model: nn.Module) -> nn.Module:
    """Return the backbone inside a classifier or wrapper, or the backbone itself."""
    inner = (getattr(model, name, None) for name in ('module', 'backbone', 'timm_model', 'model'))
    found = next((each for each in inner if isinstance(each, nn.Module)), None)
    return model if found is None else find_backbone(found)
