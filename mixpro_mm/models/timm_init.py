"""Initial weights of the released ViT, DeiT, PVT and XCiT, as timm's ``init_weights_vit_timm`` draws them."""

from torch import nn

from mixpro_mm.registry import WEIGHT_INITIALIZERS, register

__all__ = ['TimmInit']


@register(WEIGHT_INITIALIZERS)
class TimmInit:
    """Initializer for a backbone that does not draw the weights of its release.

    Use ``init_cfg=dict(type='mixpro_mm.TimmInit')``. Linear weights, class token and position embeddings come from a
    truncated normal (std 0.02), linear biases are 0, convolutions and norms are reset to torch's defaults, and other
    parameters, such as LayerScale, stay. A checkpoint is loaded afterwards.
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
            child.is_init = True  # mmengine would call their init_weights
