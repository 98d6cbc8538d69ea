"""Compare mask edges with the token grid of the class attention."""

from torch import Tensor

from mixpro_mm.functional.lam import token_share

__all__ = ['misfit', 'pure_tokens']


def pure_tokens(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the fraction of tokens whose pixels all come from one image, a scalar in [0, 1] (section 3.2).

    Args:
        mask: (B, 1, H, W) bool, true where the sample itself shows.
        grid: (h, w) of the tokens.
    """
    share = token_share(mask, grid)
    return ((share == 0) | (share == 1)).float().mean()


def misfit(augment, grid: tuple[int, int], size: tuple[int, int]) -> str | None:
    """Return a warning if the mask edges of an augment do not align with the tokens, else None.

    Also None if the augment has no ``mask_stride`` or the tokens do not tile the image.

    Args:
        augment: Batch augment whose mask edges are multiples of ``mask_stride`` pixels.
        grid: (h, w) of the tokens.
        size: (H, W) of the images.
    """
    stride, cells = getattr(augment, 'mask_stride', None), {length // n for length, n in zip(size, grid, strict=True)}
    if stride is None or len(cells) > 1 or any(length % n for length, n in zip(size, grid, strict=True)):
        return None
    (cell,) = cells
    if stride % cell == 0:
        return None
    return (
        f'{type(augment).__name__} has mask edges at multiples of {stride} px, but the tokens of this model are '
        f'{cell} px wide, so tokens on an edge show both images (pure_tokens in the log): use a multiple of {cell} px'
    )
