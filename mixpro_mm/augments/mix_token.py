"""MixToken (Jiang et al., All Tokens Matter: Token Labeling for Training Better Vision Transformers, NeurIPS 2021)."""

import torch
from torch import Tensor, nn

from mixpro_mm.augments.hidden_mix import HiddenMix
from mixpro_mm.functional import MixedTarget, region_mask, to_pixels
from mixpro_mm.registry import BATCH_AUGMENTS, register
from mixpro_mm.utils.arguments import positive_int

__all__ = ['MixToken']


@register(BATCH_AUGMENTS)
class MixToken(HiddenMix):
    """Paste a box of the partner's tokens after the patch embedding; labels by the fraction of tokens.

    A convolutional patch embedding (XCiT) therefore sees one image only. With the patches of a ViT it is the same as
    CutMix with a box of whole patches. The paper's labels of single tokens are not included.

    Args:
        alpha: Beta parameter of the fraction outside the box.
        patch_size: Stride in pixels of the tokens after ``patch_embed`` (``patch_embed1`` of PVT: 4).
        partner, ratio, prob: See :class:`MixAugment`; one box per 'batch' or per 'sample'.

    Raises:
        ValueError: At construction for an invalid argument; in :meth:`bind` if the backbone has no patch embedding; at
            the first batch if ``patch_size`` does not divide the image, or the backbone has other tokens.
        RuntimeError: While mixing without :meth:`bind`, or if the forward pass did not call the patch embedding.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        patch_size: int = 16,
        partner: str = 'permutation',
        ratio: str = 'batch',
        prob: float = 1.0,
    ):
        super().__init__(alpha=alpha, partner=partner, ratio=ratio, prob=prob)
        self.patch_size = positive_int('patch_size', patch_size)

    @property
    def mask_stride(self) -> int:
        return self.patch_size

    def modules_of(self, backbone: nn.Module) -> list[nn.Module]:
        for name in ('patch_embed', 'patch_embed1'):
            if isinstance(found := getattr(backbone, name, None), nn.Module):
                return [found]
        raise ValueError(f'MixToken needs a backbone with patch_embed, which {type(backbone).__name__} does not have')

    def draw_mask(self, images: Tensor, index: Tensor) -> Tensor:
        height, width = size = tuple(images.shape[2:])
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f'patch_size {self.patch_size} of MixToken does not divide an image of {height}x{width} pixels'
            )
        lam = self.draw_ratio(len(images))[: 1 if self.ratio == 'batch' else None]
        cells = region_mask(lam, tuple(length // self.patch_size for length in size), device=images.device)
        return to_pixels(cells, self.patch_size, size).expand(len(images), -1, -1, -1)

    def mix(self, images: Tensor, scores: Tensor, index: Tensor) -> tuple[Tensor, MixedTarget]:
        target = MixedTarget(scores, scores[index], self.draw_mask(images, index))
        self.choose(0, index)
        return images, target

    def mix_tokens(self, tokens: Tensor, partners: Tensor) -> Tensor:
        own = self._pending.mask[:, 0, :: self.patch_size, :: self.patch_size].flatten(1)
        if tokens.ndim != 3 or tokens.shape[:2] != own.shape:
            raise ValueError(
                f'patch_size {self.patch_size} of MixToken makes {own.shape[1]} tokens of an image, but the patch '
                f'embedding gives {tuple(tokens.shape)}'
            )
        return torch.where(own[..., None], tokens, partners)
