"""Shuffle the patches of a mixed image within each source (MixPro, table 9)."""

import torch
from torch import Generator, Tensor

__all__ = ['SHUFFLES', 'shuffle_patches']

# groups to shuffle: 1 shows the sample itself ("canvas"), 0 its partner ("pasted")
SHUFFLES: dict[str, tuple[int, ...]] = {'none': (), 'pasted': (0,), 'canvas': (1,), 'both': (0, 1)}
STAYS = -1


def shuffle_patches(
    images: Tensor, mask: Tensor, patch_size: int, which: str = 'both', *, generator: Generator | None = None
) -> Tensor:
    """Permute patches at random within their group, so that the mask stays valid.

    Patches that show both images stay in place.

    Args:
        images: (B, C, H, W), not modified.
        mask: (B, 1, H, W) bool on the same device, true where the sample itself shows.
        patch_size: Side of the patches in pixels.
        which: 'none', 'pasted' (patches of the partner), 'canvas' (patches of the sample itself) or 'both'.
        generator: Random generator on the device of the images; torch's global one by default.

    Returns:
        (B, C, H, W); the images themselves for 'none', which draws nothing.

    Raises:
        ValueError: If a side of the image is not a multiple of ``patch_size``.
    """
    if not SHUFFLES[which]:
        return images
    batch, channels, height, width = images.shape
    if height % patch_size or width % patch_size:
        raise ValueError(
            f'shuffle needs image sides that are multiples of patch_size {patch_size}, got {height}x{width} pixels'
        )
    rows, columns = height // patch_size, width // patch_size
    order = _order_within(_groups(mask, patch_size, SHUFFLES[which]), generator)
    tiles = images.reshape(batch, channels, rows, patch_size, columns, patch_size).permute(0, 2, 4, 1, 3, 5)
    tiles = tiles.flatten(1, 2)[torch.arange(batch, device=images.device)[:, None], order]
    return tiles.unflatten(1, (rows, columns)).permute(0, 3, 1, 4, 2, 5).reshape(images.shape)


def _groups(mask: Tensor, patch_size: int, chosen: tuple[int, ...]) -> Tensor:
    """Return the (B, N) group of each patch: 1 the sample's, 0 the partner's, STAYS if mixed or not ``chosen``."""
    pixels = mask.squeeze(1).unflatten(1, (-1, patch_size)).unflatten(3, (-1, patch_size))
    own, some = (found.flatten(1) for found in (pixels.all(4).all(2), pixels.any(4).any(2)))
    group = torch.where(own == some, own.long(), STAYS)
    return group.masked_fill(~torch.isin(group, group.new_tensor(chosen)), STAYS)


def _order_within(group: Tensor, generator: Generator | None) -> Tensor:
    """Return the (B, N) source of each position: a random permutation in every group, the identity in STAYS."""
    noise = torch.rand(group.shape, generator=generator, device=group.device)
    place = torch.arange(group.shape[1], device=group.device) / group.shape[1]
    drawn = torch.where(group == STAYS, place, noise).argsort(dim=1)
    drawn = drawn.gather(1, group.gather(1, drawn).argsort(dim=1, stable=True))  # by group, at random inside
    home = group.argsort(dim=1, stable=True)  # by group, in order inside
    return drawn.gather(1, home.argsort(dim=1))
