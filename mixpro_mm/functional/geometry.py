"""Masks against the cells of the class attention: whether a token shows one image or two."""

from torch import Tensor

from mixpro_mm.functional.lam import token_share

__all__ = ['misfit', 'pure_tokens']


def pure_tokens(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Share of the tokens whose pixels all come from one image, a scalar in [0, 1]; MaskMix aims at 1 (section 3.2).

    Args:
        mask: (B, 1, H, W) bool, true where the sample itself shows.
        grid: (h, w) of the tokens.
    """
    share = token_share(mask, grid)
    return ((share == 0) | (share == 1)).float().mean()


def misfit(augment, grid: tuple[int, int], size: tuple[int, int]) -> str | None:
    """The sentence about an augment whose mask borders miss those of the tokens, or None.

    None also if the augment has no ``mask_stride`` or the tokens do not tile the image.

    Args:
        augment: A batch augment; every edge of its masks is a multiple of ``mask_stride`` pixels.
        grid: (h, w) of the tokens of the class attention.
        size: (H, W) of the images.
    """
    stride, cells = getattr(augment, 'mask_stride', None), {length // n for length, n in zip(size, grid, strict=True)}
    if stride is None or len(cells) > 1 or any(length % n for length, n in zip(size, grid, strict=True)):
        return None
    (cell,) = cells
    if stride % cell == 0:
        return None
    return (
        f'{type(augment).__name__} puts the borders of its mask at multiples of {stride} px, but the attention of this '
        f'model has cells of {cell} px, so that tokens on a border show both images (see pure_tokens in the log): '
        f'{cell} px or a multiple keeps them pure'
    )
