"""SaliencyMix (Uddin et al., SaliencyMix: A Saliency Guided Data Augmentation Strategy, ICLR 2021)."""

from torch import Tensor

from mixpro_mm.augments.base import MixAugment
from mixpro_mm.functional.saliency import peak_mask, spectral_residual
from mixpro_mm.registry import BATCH_AUGMENTS, register

__all__ = ['SaliencyMix']


@register(BATCH_AUGMENTS)
class SaliencyMix(MixAugment):
    """Paste the box of the partner around its most salient pixel, at the same position; labels by area.

    The released code uses OpenCV's fine-grained saliency on the CPU; here it is the spectral residual, batched and on
    the device of the images.

    Args:
        alpha: Beta parameter of the fraction outside the box.
        partner: See :class:`MixAugment`.
        ratio: One box per 'batch', around the peak of the first sample's partner, as in the released code; or one per
            'sample', around the peak of its own partner.
        prob: Probability of mixing each sample; the paper mixes half of CIFAR and all of ImageNet.

    Raises:
        ValueError: At construction for an invalid argument.
    """

    def draw_mask(self, images: Tensor, index: Tensor) -> Tensor:
        boxes = 1 if self.ratio == 'batch' else len(images)
        lam = self.draw_ratio(len(images))[:boxes]
        return peak_mask(spectral_residual(images[index[:boxes]]), lam).expand(len(images), -1, -1, -1)
