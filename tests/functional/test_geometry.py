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


STRIDES = [(MaskMix(patch_size=32, mask_scale=1), 32), (MaskMix(patch_size=14), 56), (MaskMix(offset=8), 8)]
STRIDES += [(MaskMix(unit=0.5), 16), (MaskMix(unit=0.75, offset=8), 8), (BlockMix(patch_size=14), 14)]
STRIDES += [(RegionMix(align=16), 16), (RegionMix(), None), (GridMix(), None), (TokenMix(patch_size=16), 16)]


@pytest.mark.parametrize(('augment', 'mask_stride'), STRIDES)
def test_every_border_of_a_mask_is_a_multiple_of_mask_stride(augment, mask_stride):
    assert augment.mask_stride == mask_stride
    if mask_stride is None or isinstance(augment, TokenMix):  # which has to see a teacher
        return
    torch.manual_seed(0)
    mask = augment.draw_mask(torch.rand(64, 1, 224, 224), torch.arange(64))[:, 0].int()
    borders = torch.cat([mask.diff(dim=dim).nonzero()[:, dim] + 1 for dim in (1, 2)])
    assert len(borders) and not (borders % mask_stride).any()


def test_masks_that_cut_tokens_are_named_with_the_numbers():
    fits = [(MaskMix(patch_size=32, mask_scale=scale), (7, 7)) for scale in (1, 2)] + [(MaskMix(), (14, 14))]
    fits += [(RegionMix(), (7, 7)), (object(), (7, 7))]  # without a stride
    assert not any(misfit(augment, grid, (224, 224)) for augment, grid in fits)
    assert misfit(MaskMix(patch_size=14), (15, 15), (225, 226)) is None  # tokens that do not tile the image
    for augment, grid, size, edges, width in [
        (MaskMix(patch_size=14), (7, 7), (224, 224), 56, 32),  # the cells of the released code on a pyramid
        (MaskMix(mask_scale=1), (7, 7), (224, 224), 16, 32),  # cells of half a token
        (MaskMix(offset=8), (14, 14), (224, 224), 8, 16),
        (BlockMix(patch_size=14), (8, 14), (128, 224), 14, 16),
    ]:
        name, sentence = type(augment).__name__, misfit(augment, grid, size)
        assert sentence.startswith(f'{name} has mask edges at multiples of {edges} px, but')
        assert f'are {width} px wide' in sentence
