"""SMMix against loops over every square, and the side effects of its extra pass."""

import copy
import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.models import ImageClassifier, SwinTransformer
from torch import nn

from mixpro_mm.augments.smmix import SMMix
from mixpro_mm.labeling import ClassAttentionTap

VIT = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=32),
    img_size=64,
    patch_size=8,
)
HOOKS = [name for name in vars(nn.Module()) if name.endswith('_hooks')]


def classifier(**kwargs):
    torch.manual_seed(0)
    model = ImageClassifier(backbone={**VIT, **kwargs}, head=dict(type='LinearClsHead', num_classes=9, in_channels=32))
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model.train()


def given(attention, **kwargs):
    """Return SMMix with a given attention (B, h, w)."""
    augment = SMMix(**kwargs)
    augment.look = lambda images: attention
    return augment


def numbered(batch, size):
    """Return images with a distinct number per pixel."""
    images = torch.arange(batch * size[0] * size[1], dtype=torch.float64).view(batch, 1, *size).expand(-1, 3, -1, -1)
    return images.clone(), F.one_hot(torch.arange(batch), batch).double()


def count_hooks(model):
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in HOOKS)


@pytest.mark.parametrize('batch', [1, 2, 5])
@pytest.mark.parametrize(('grid', 'rest'), [((4, 4), 0), ((5, 3), 0), ((3, 6), 0), ((4, 3), 5)])
@pytest.mark.parametrize('side', [1, 2, 3])
def test_the_partners_best_square_covers_the_samples_worst(batch, grid, rest, side):
    """Brute force over squares; ``rest`` pixels beyond the last whole token show the sample."""
    torch.manual_seed(0)
    patch, size = 4, tuple(4 * length + rest for length in grid)
    if rest:
        patch, size = 8, tuple(8 * length + rest for length in grid)
    attention = torch.rand(batch, *grid)
    augment = given(attention, patch_size=patch, sides=(side, side))
    images, scores = numbered(batch, size)
    mixed, blended = augment(images, scores)
    target = augment.pop_target()
    partners = target.partner_scores.argmax(1)
    corners = list(itertools.product(range(grid[0] - side + 1), range(grid[1] - side + 1)))

    def total(image, top, left):
        return float(attention[image, top : top + side, left : left + side].double().sum())

    for b, partner in enumerate(partners.tolist()):
        top, left = min(corners, key=lambda corner, b=b: total(b, *corner))
        source, start = max(corners, key=lambda corner, p=partner: total(p, *corner))
        rows, columns = (slice(patch * at, patch * (at + side)) for at in (top, left))
        expected = images[b].clone()
        expected[:, rows, columns] = images[
            partner, :, patch * source : patch * (source + side), patch * start : patch * (start + side)
        ]
        assert torch.equal(mixed[b], expected)
        visible = torch.ones(size, dtype=torch.bool)
        visible[rows, columns] = False
        assert torch.equal(target.mask[b, 0], visible)
        owners = torch.bincount((mixed[b, 0] // (size[0] * size[1])).long().flatten(), minlength=batch)
        torch.testing.assert_close(blended[b], owners.double() / owners.sum(), rtol=0, atol=1e-6)


def test_sides_are_drawn_per_batch_from_both_ends_on():
    torch.manual_seed(0)

    def sides(grid, **kwargs):
        augment = SMMix(patch_size=1, **kwargs)
        return {augment.draw_side(grid) for _ in range(200)}

    assert sides((14, 14)) == set(range(3, 11))  # the released code's 3 to 10 of 14
    assert sides((7, 7)) == set(range(1, 6))  # and 1 to 5 of the 7 of PVT
    assert sides((6, 6), sides=(3, 10)) == {3, 4, 5}  # something of the sample remains
    assert sides((6, 8), sides=(3, 10)) == {3, 4, 5, 6}
    assert sides((2, 2), sides=(3, 10)) == {1}
    assert sides((3, 3), sides=(0.1, 0.2)) == {1}
    augment = given(torch.rand(8, 14, 14), patch_size=1)
    augment(*numbered(8, (14, 14)))
    assert len(augment.pop_target().lam_area.unique()) == 1


def test_attention_of_another_grid_is_spread_over_the_tokens():
    """A map of 2 x 2 large tokens over 4 x 4 small ones."""
    attention = torch.tensor([[[3.0, 1], [1, 0]]]).expand(2, -1, -1)
    augment = given(attention, patch_size=2, sides=(2, 2), partner='flip')
    images, scores = numbered(2, (8, 8))
    mixed, _ = augment(images, scores)
    for b in range(2):
        expected = images[b].clone()
        expected[:, 4:, 4:] = images[1 - b, :, :4, :4]
        assert torch.equal(mixed[b], expected)


@pytest.mark.parametrize('kwargs', [dict(), dict(with_cls_token=False, out_type='avg_featmap')], ids=['class', 'none'])
@pytest.mark.parametrize('attention', ['query_mean', dict(reading='query_mean', path='backbone.layers.0.attn'), None])
def test_the_attention_is_that_of_the_unmixed_images(kwargs, attention):
    model = classifier(**kwargs)
    augment = SMMix(patch_size=8, attention=attention)
    if attention is None and kwargs:
        with pytest.raises(ValueError, match=r"^VisionTransformer was built without a class token.*'query_mean'"):
            augment.bind(model)
        return
    augment.bind(model)
    images = torch.randn(3, 3, 64, 64)
    tap = ClassAttentionTap(model, attention).attach()
    model.eval()(images, mode='tensor')
    expected = tap.read().view(3, 8, 8)
    tap.release()
    model.train()
    assert torch.equal(augment.look(images), expected)
    seen = []
    augment.look = lambda batch, look=augment.look: seen.append(batch) or look(batch)
    augment(images, torch.eye(3))
    assert len(seen) == 1  # one look for samples and partners
    assert torch.equal(seen[0], images)


def test_the_extra_pass_changes_nothing():
    model = classifier(drop_path_rate=0.5, drop_rate=0.5)
    model.backbone.norm_first = nn.BatchNorm2d(3)
    model.register_forward_pre_hook(lambda module, args: (module.backbone.norm_first(args[0]), *args[1:]))
    model.backbone.layers[0].eval()  # a frozen part stays in its own mode
    grad_enabled = []
    model.backbone.layers[1].register_forward_hook(lambda *args: grad_enabled.append(torch.is_grad_enabled()))
    modes = [module.training for module in model.modules()]
    state, hooks = copy.deepcopy(model.state_dict()), count_hooks(model)
    augment = SMMix(patch_size=8)
    augment.bind(model)
    images, scores = torch.randn(4, 3, 64, 64), torch.eye(9)[:4]
    torch.manual_seed(3)
    augment(images, scores)
    after = torch.get_rng_state()
    torch.manual_seed(3)
    given(torch.rand(4, 8, 8, generator=torch.Generator()), patch_size=8)(images, scores)
    assert torch.equal(torch.get_rng_state(), after)  # the look drew nothing
    assert grad_enabled == [False, False]  # the first batch is preceded by the check that the attention is in use
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert int(model.backbone.norm_first.num_batches_tracked) == 0
    assert count_hooks(model) == hooks
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    augment.unbind()
    assert augment._bound is None


def test_gradients_do_not_depend_on_the_extra_pass():
    """Also under autocast, whose cache must not keep weights cast without gradient."""
    grads = []
    for looks in (True, False):
        model = classifier()
        augment = SMMix(patch_size=8)
        augment.bind(model)
        images, scores = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)), torch.eye(9)[:4]
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16):
            if looks:
                augment(images, scores)
            loss = F.cross_entropy(model(images, mode='tensor').float(), scores)
        loss.backward()
        grads.append([parameter.grad for parameter in model.parameters()])
    assert all(a is not None and torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_windows_raise():
    model = ImageClassifier(
        backbone=SwinTransformer(dict(embed_dims=8, depths=[1] * 4, num_heads=[1] * 4), 64, window_size=2)
    )
    augment = SMMix(patch_size=8, attention=dict(reading='query_mean', path='backbone.stages.2.blocks.0.attn.w_msa'))
    augment.bind(model)
    with pytest.raises(RuntimeError, match=r'^WindowMSA gave 12 attention maps for 3 images: .*not over windows$'):
        augment(torch.randn(3, 3, 64, 64), torch.eye(3))
    augment = SMMix(patch_size=8, attention=dict(reading='query_mean', path='backbone.stages.3.blocks.0.attn.w_msa'))
    augment.bind(model)
    augment(torch.randn(3, 3, 64, 64), torch.eye(3))  # one window over the whole map will do
