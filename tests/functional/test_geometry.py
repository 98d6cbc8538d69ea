import pytest
import torch

from mixpro_mm.augments import BlockMix, GridMix, MaskMix, RegionMix, TokenMix
from mixpro_mm.functional.geometry import misfit, pure_tokens


def test_tokens_that_show_one_image_are_counted_by_hand():
    """Of four tokens of 2 x 2 pixels, two show one image."""
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 1, 1], [1, 0, 1, 0]], dtype=torch.bool)[None, None]
    assert pure_tokens(mask, (2, 2)).item() == 0.5
    assert pure_tokens(mask, (4, 4)).item() == 1
    assert pure_tokens(mask, (1, 1)).item() == 0
    both = torch.cat((mask, torch.ones_like(mask)))  # an unmixed sample is pure
    assert pure_tokens(both, (2, 2)).item() == 0.75


@pytest.mark.parametrize(
    ('augment', 'mask_stride'),
    [
        (MaskMix(patch_size=32, mask_scale=1), 32),
        (MaskMix(patch_size=14), 56),
        (MaskMix(offset=8), 8),
        (MaskMix(unit=0.5), 16),
        (MaskMix(unit=0.75, offset=8), 8),
        (BlockMix(patch_size=14), 14),
        (RegionMix(align=16), 16),
        (RegionMix(), None),
        (GridMix(), None),
        (TokenMix(patch_size=16), 16),
    ],
)
def test_every_border_of_a_mask_is_a_multiple_of_mask_stride(augment, mask_stride):
    assert augment.mask_stride == mask_stride
    if mask_stride is None or isinstance(augment, TokenMix):  # which has to see a teacher
        return
    torch.manual_seed(0)
    images, borders = torch.rand(16, 1, 224, 224), set()
    for _ in range(4):
        mask = augment.draw_mask(images, torch.arange(16))[:, 0].int()
        borders |= set((mask.diff(dim=1).nonzero()[:, 1] + 1).tolist())
        borders |= set((mask.diff(dim=2).nonzero()[:, 2] + 1).tolist())
    assert borders
    assert all(border % mask_stride == 0 for border in borders)


FITS = [
    (MaskMix(patch_size=32, mask_scale=1), (7, 7), (224, 224)),
    (MaskMix(), (14, 14), (224, 224)),
    (MaskMix(patch_size=32, mask_scale=2), (7, 7), (224, 224)),
    (RegionMix(), (7, 7), (224, 224)),  # promises nothing
    (MaskMix(patch_size=14), (15, 15), (225, 226)),  # tokens that do not tile the image
    (object(), (7, 7), (224, 224)),  # an augment of one's own
]
CUTS = [
    (MaskMix(patch_size=14), (7, 7), (224, 224), 56, 32),  # the released code's cells on a pyramid
    (MaskMix(mask_scale=1), (7, 7), (224, 224), 16, 32),  # cells of half a token
    (MaskMix(offset=8), (14, 14), (224, 224), 8, 16),
    (BlockMix(patch_size=14), (8, 14), (128, 224), 14, 16),
]


def test_masks_that_cut_tokens_are_named_with_the_numbers():
    assert not any(misfit(*case) for case in FITS)
    for augment, grid, size, grain, cell in CUTS:
        name, sentence = type(augment).__name__, misfit(augment, grid, size)
        assert sentence.startswith(f'{name} has mask edges at multiples of {grain} px, but')
        assert f'are {cell} px wide' in sentence
