"""Initial weights as in the released ViT, DeiT, PVT and XCiT, all of which draw them as timm does.

timm, https://github.com/huggingface/pytorch-image-models (``init_weights_vit_timm``; class token as in DeiT's release).
"""

from torch import nn

from mixpro_mm.registry import WEIGHT_INITIALIZERS, register

__all__ = ['TimmInit']


@register(WEIGHT_INITIALIZERS)
class TimmInit:
    """``init_cfg=dict(type='mixpro_mm.TimmInit')`` of a backbone whose host draws other weights than its release.

    Linear weights, class token and position embeddings come from a truncated normal (std 0.02), linear biases are 0.
    Convolutions and norms are reset to what torch gives them. Parameters of other names, such as LayerScale, stay.
    Modules inside the backbone do not draw again afterwards; a checkpoint is loaded later and wins.
    """

    def __call__(self, module: nn.Module) -> None:
        """Draw the weights of ``module`` in place."""
        for part in module.modules():
            if isinstance(part, nn.Linear):
                nn.init.trunc_normal_(part.weight, std=0.02)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
            elif hasattr(part, 'reset_parameters'):
                part.reset_parameters()
        for name, parameter in module.named_parameters(recurse=False):
            if name.startswith(('cls_token', 'pos_embed')):
                nn.init.trunc_normal_(parameter, std=0.02)
        for child in module.children():
            child.is_init = True  # mmengine would call their own init_weights next
