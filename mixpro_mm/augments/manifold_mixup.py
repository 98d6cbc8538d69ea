"""Manifold Mixup (Verma et al., Manifold Mixup: Better Representations by Interpolating Hidden States, ICML 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mixpro_mm.augments.hidden_mix import HiddenMix
from mixpro_mm.functional import MixedTarget
from mixpro_mm.registry import BATCH_AUGMENTS, register
from mixpro_mm.utils.arguments import counted, shown

__all__ = ['ManifoldMixup']

BLOCKS = ('layers', 'blocks', 'xca_layers', 'block1')  # ViT of mmpretrain and timm, XCiT, first stage of PVT


@register(BATCH_AUGMENTS)
class ManifoldMixup(HiddenMix):
    """Interpolate all tokens after a random block, and the labels, by the same ratio.

    Use it with ``labeling='AreaLabeling'``: there is no mask that attention could re-weight.

    Args:
        alpha: Both parameters of the Beta distribution of the ratio; 2 in the paper.
        layers: Blocks of which one is drawn for each batch: 0 for the images (Mixup), k for the tokens after block k.
            The default is that of the released code, for ResNets.
        partner, ratio, prob: See :class:`MixAugment`.

    Raises:
        ValueError: At construction for an invalid argument; in :meth:`bind` if the backbone has no such blocks.
        RuntimeError: While mixing without :meth:`bind`, or if the forward pass did not call the drawn block.
    """

    own_weights = True

    def __init__(
        self,
        alpha: float = 2.0,
        layers: Sequence[int] = (0, 1, 2),
        partner: str = 'permutation',
        ratio: str = 'batch',
        prob: float = 1.0,
    ):
        super().__init__(alpha=alpha, partner=partner, ratio=ratio, prob=prob)
        self.layers = sorted(set(layers)) if isinstance(layers, (list, tuple)) else []
        if not self.layers or not all(type(layer) is int and layer >= 0 for layer in self.layers):
            raise ValueError(f'layers must be a list of whole numbers of at least 0, got {shown(layers)}')

    def modules_of(self, backbone: nn.Module) -> list[nn.Module]:
        found = (getattr(backbone, name, None) for name in BLOCKS)
        blocks = next((each for each in found if isinstance(each, nn.ModuleList | nn.Sequential)), ())
        if len(blocks) < self.layers[-1]:
            raise ValueError(
                f'ManifoldMixup mixes tokens after block {self.layers[-1]}, but {type(backbone).__name__} has '
                f'{counted(len(blocks), "block")} (in {", ".join(BLOCKS)}): set layers'
            )
        return [blocks[layer - 1] for layer in self.layers if layer]

    def mix(self, images: Tensor, scores: Tensor, index: Tensor) -> tuple[Tensor, MixedTarget]:
        lam = self.draw_ratio(len(images)).to(images.device, non_blocking=True)
        number = int(torch.randint(len(self.layers), ()))
        everywhere = torch.ones_like(images[:, :1], dtype=torch.bool)
        target = MixedTarget(scores, scores[index], everywhere, torch.stack([lam, 1 - lam], dim=1))
        if self.layers[number] == 0:
            return torch.lerp(images[index], images, lam.to(images.dtype)[:, None, None, None]), target
        self.choose(number - (self.layers[0] == 0), index)
        return images, target

    def mix_tokens(self, tokens: Tensor, partners: Tensor) -> Tensor:
        lam = self._pending.weights[:, 0].to(tokens.dtype)
        return torch.lerp(partners, tokens, lam.view(-1, *[1] * (tokens.ndim - 1)))
