"""SMMix against loops over every square, and the side effects of its extra pass."""

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.models import ImageClassifier, SwinTransformer

from mixpro_mm.augments.smmix import SMMix
from mixpro_mm.labeling import ClassAttentionTap
from tests import micro


def given(attention, **kwargs):
    """Return SMMix with a given attention (B, h, w)."""
    augment = SMMix(**kwargs)
    augment.look = lambda images: attention
    return augment


def numbered(batch, size):
    """Return images with a distinct number per pixel."""
    images = torch.arange(batch * size[0] * size[1], dtype=torch.float64).view(batch, 1, *size).expand(-1, 3, -1, -1)
    return images.clone(), F.one_hot(torch.arange(batch), batch).double()


@pytest.mark.parametrize('batch', [1, 2, 5])
@pytest.mark.parametrize(('grid', 'patch', 'rest'), [((4, 4), 4, 0), ((5, 3), 4, 0), ((3, 6), 4, 0), ((4, 3), 8, 5)])
@pytest.mark.parametrize('side', [1, 2, 3])
def test_the_partners_best_square_covers_the_samples_worst(batch, grid, patch, rest, side):
    """Brute force over squares; ``rest`` pixels beyond the last whole token show the sample."""
    torch.manual_seed(0)
    size, attention = tuple(patch * length + rest for length in grid), torch.rand(batch, *grid)
    augment = given(attention, patch_size=patch, sides=(side, side))
    images, scores = numbered(batch, size)
    mixed, _ = augment(images, scores)
    target = augment.pop_target()
    corners = list(itertools.product(range(grid[0] - side + 1), range(grid[1] - side + 1)))

    def total(image, corner):
        return float(attention[image, corner[0] : corner[0] + side, corner[1] : corner[1] + side].double().sum())

    for b, partner in enumerate(target.partner_scores.argmax(1).tolist()):
        worst = min(corners, key=lambda corner, b=b: total(b, corner))
        best = max(corners, key=lambda corner, p=partner: total(p, corner))
        place, source = (tuple(slice(patch * at, patch * (at + side)) for at in corner) for corner in (worst, best))
        expected, visible = images[b].clone(), torch.ones(size, dtype=torch.bool)
        expected[:, *place], visible[*place] = images[partner][:, *source], False
        assert torch.equal(mixed[b], expected)
        assert torch.equal(target.mask[b, 0], visible)


def test_sides_are_drawn_per_batch_from_both_ends_on():
    torch.manual_seed(0)

    def sides(grid, sides=(0.25, 0.75)):
        return {SMMix(patch_size=1, sides=sides).draw_side(grid) for _ in range(200)}

    assert sides((14, 14)) == set(range(3, 11))  # the released code's 3 to 10 of 14
    assert sides((7, 7)) == set(range(1, 6))  # and 1 to 5 of the 7 of PVT
    assert sides((6, 6), (3, 10)) == {3, 4, 5}  # something of the sample remains
    assert sides((6, 8), (3, 10)) == {3, 4, 5, 6}
    assert sides((2, 2), (3, 10)) == sides((3, 3), (0.1, 0.2)) == {1}
    augment = given(torch.rand(8, 14, 14), patch_size=1)
    augment(*numbered(8, (14, 14)))
    assert len(augment.pop_target().lam_area.unique()) == 1


def test_attention_of_another_grid_is_spread_over_the_tokens():
    """A map of 2 x 2 large tokens over 4 x 4 small ones."""
    attention = torch.tensor([[[3.0, 1], [1, 0]]]).expand(2, -1, -1)
    images, scores = numbered(2, (8, 8))
    mixed, _ = given(attention, patch_size=2, sides=(2, 2), partner='flip')(images, scores)
    expected = images.clone()
    expected[:, :, 4:, 4:] = images.flip(0)[:, :, :4, :4]
    assert torch.equal(mixed, expected)


PATH = dict(reading='query_mean', path='backbone.layers.0.attn')
NO_TOKEN = dict(with_cls_token=False, out_type='avg_featmap')


def test_the_class_token_has_no_row_if_there_is_none():
    with pytest.raises(ValueError, match=r"^VisionTransformer has no class token at.*'query_mean'"):
        SMMix(attention=None).bind(micro.classifier(**NO_TOKEN))


@pytest.mark.parametrize(('attention', 'kwargs'), [('query_mean', NO_TOKEN), (PATH, {}), (None, {})])
def test_the_attention_is_that_of_the_unmixed_images(attention, kwargs):
    model, augment = micro.classifier(**kwargs), SMMix(patch_size=8, attention=attention)
    augment.bind(model)
    images, seen, passes = torch.randn(3, 3, 32, 32), [], []
    tap = ClassAttentionTap(model, attention).attach()
    model.eval()(images, mode='tensor')
    expected = tap.read().view(3, 4, 4)
    tap.release()
    assert torch.equal(augment.look(images), expected)
    model.backbone.register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    augment.look = lambda batch, look=augment.look: seen.append(batch) or look(batch)
    torch.manual_seed(3)
    augment(images, torch.eye(3))
    after = torch.get_rng_state()
    assert len(seen) == 1 and passes == [False] and torch.equal(seen[0], images)  # one for samples and partners
    torch.manual_seed(3)
    given(expected, patch_size=8)(images, torch.eye(3))
    assert torch.equal(torch.get_rng_state(), after)  # the pass draws nothing


def test_gradients_do_not_depend_on_the_extra_pass():
    """Also under autocast, whose cache must not keep weights cast without gradient."""
    grads = []
    for looks in (True, False):
        model = micro.classifier().train()
        augment = SMMix(patch_size=8)
        augment.bind(model)
        images, scores = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.eye(5)[:4]
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16):
            if looks:
                augment(images, scores)
            loss = F.cross_entropy(model(images, mode='tensor').float(), scores)
        loss.backward()
        grads.append([parameter.grad for parameter in model.parameters()])
    assert all(a is not None and torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_windows_raise():
    arch = dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4)
    model, images = ImageClassifier(backbone=SwinTransformer(arch, 64, window_size=2)), torch.randn(3, 3, 64, 64)
    paths = [f'backbone.stages.{stage}.blocks.0.attn.w_msa' for stage in (2, 3)]
    windows, whole = (SMMix(patch_size=8, attention=dict(reading='query_mean', path=path)) for path in paths)
    windows.bind(model)
    with pytest.raises(RuntimeError, match=r'^WindowMSA gave 12 attention maps for 3 images: .*not over windows$'):
        windows(images, torch.eye(3))
    whole.bind(model)
    whole(images, torch.eye(3))  # a single window over the whole map
