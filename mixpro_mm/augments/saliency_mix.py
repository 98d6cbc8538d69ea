"""SaliencyMix (Uddin et al., SaliencyMix: A Saliency Guided Data Augmentation Strategy, ICLR 2021)."""

from torch import Tensor

from mixpro_mm.augments.base import MixAugment
from mixpro_mm.functional.saliency import peak_mask, spectral_residual
from mixpro_mm.registry import BATCH_AUGMENTS, register

__all__ = ['SaliencyMix']


@register(BATCH_AUGMENTS)
class SaliencyMix(MixAugment):
    """Paste the box of the partner around its most salient pixel, at the same place; labels by area.

    The released code finds the pixel by OpenCV's fine-grained saliency, one image at a time on the CPU. Here it is the
    peak of the spectral residual, another detector of that kind: batched and on the device of the images.

    Args:
        alpha: Both parameters of the Beta distribution of the share outside the box.
        partner: As of :class:`MixAugment`.
        ratio: One share and one box per 'batch', around the peak of the first sample's partner, as the released code
            has it; or each 'sample' its own share, around the peak of its own partner.
        prob: Probability with which each sample is mixed at all; the paper mixes half of CIFAR and all of ImageNet.

    Raises:
        ValueError: at construction for a bad argument.
    """

    def draw_mask(self, images: Tensor, index: Tensor) -> Tensor:
        """(B, 1, H, W) bool, false inside the box."""
        lam = self.draw_ratio(len(images))
        if self.ratio == 'batch':
            first = peak_mask(spectral_residual(images[index[:1]]), lam[:1])
            return first.expand(len(images), -1, -1, -1)
        return peak_mask(spectral_residual(images[index]), lam)
