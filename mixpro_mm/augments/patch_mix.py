"""PatchMix (Cascante-Bonilla et al., Evolving Image Compositions for Feature Representation Learning, BMVC 2021)."""

from mixpro_mm.augments.grid_mix import GridMix
from mixpro_mm.registry import BATCH_AUGMENTS, register

__all__ = ['PatchMix']


@register(BATCH_AUGMENTS)
class PatchMix(GridMix):
    """Take each of N x N cells of the image from one of the two images, as :class:`GridMix` does; labels by area.

    ``LocalContextLoss`` classifies the cells, instead of the patch-level losses of the method. The evolutionary search
    for pairs and grids is not included.

    Args:
        alpha: Beta parameter of tau; the paper's value is unverified.
        grid: N, cells per side; the paper's value is unverified.
        rounding: 'floor' or 'ceil' of the N * N * tau cells of the sample itself.
        partner, ratio, prob: See :class:`MixAugment`; cells are always drawn per sample.

    Raises:
        ValueError: See :class:`GridMix`.
    """
