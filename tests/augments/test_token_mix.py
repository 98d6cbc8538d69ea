"""TokenMix's weights against loops over pixels, with given teacher maps."""

import pytest
import torch
from mmpretrain.models import LabelSmoothLoss
from mmpretrain.registry import MODELS

from mixpro_mm.augments.networks import FrozenClassifier
from mixpro_mm.augments.token_mix import TokenMix
from tests.augments.kit import EXTRACTOR, unique_batch


class Teacher(FrozenClassifier):
    """Returns given maps (B, h, w) and records its arguments."""

    def __init__(self, maps):
        self.maps, self.asked = maps, []

    def activation_map(self, images, labels, classes=None):
        self.asked.append((images.clone(), labels.clone()))
        return self.maps


def weights_of(maps, mask, monkeypatch, **settings):
    """Return the labels and weights of a batch of two images of 16 x 16 pixels for a mask of 2 x 2 cells."""
    augment = TokenMix(patch_size=8, teacher=Teacher(maps), partner='flip', **settings)
    mask = torch.tensor(mask).bool().unsqueeze(1).repeat_interleave(8, 2).repeat_interleave(8, 3)
    monkeypatch.setattr(augment, 'draw_mask', lambda images, index: mask)
    _, blended = augment(*unique_batch(2, (16, 16), classes=3))
    return blended, augment.pop_target().weights


def test_half_of_the_smoothing_goes_to_each_image(monkeypatch):
    """The released code's targets: y - s / 2 + s / K for the two classes of a mix, s / K for others.

    The first image shows 0.3 of its activation and 0.5 of its partner's: for s = 0.1 and 3 classes
    0.3 - 0.05 + 0.0333 = 0.2833, 0.5 - 0.05 + 0.0333 = 0.4833 and 0.0333.
    """
    maps, mask = torch.tensor([[[1.0, 2], [3, 4]], [[4, 0], [2, 2]]]), [[[1, 1], [0, 0]], [[1, 0], [0, 0]]]
    blended, _ = weights_of(maps, mask, monkeypatch, target='bce', smoothing=0.1)
    loss = LabelSmoothLoss(0.1, num_classes=3, mode='original', use_sigmoid=True)
    targets = torch.tensor([[0.2833, 0.4833, 0.0333], [0.8833, 0.4833, 0.0333]])
    torch.testing.assert_close(loss.smooth_label(blended), targets, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ('target', 'expected'), [('bce', [[0.5, 6 / 8], [2 / 8, 0.5]]), ('ce', [[2 / 5, 3 / 5], [1 / 3, 2 / 3]])]
)
def test_an_image_without_activation_counts_by_its_area(target, expected, monkeypatch):
    maps = torch.stack([torch.zeros(2, 2), torch.tensor([[1.0, 1], [1, 5]])])
    _, weights = weights_of(maps, [[[1, 1], [0, 0]]] * 2, monkeypatch, target=target)
    torch.testing.assert_close(weights, torch.tensor(expected))


@pytest.mark.parametrize('size', [(64, 64), (48, 80), (40, 72)])
@pytest.mark.parametrize('grid', [(2, 2), (4, 4), (8, 8), (1, 1)])
def test_weights_are_the_visible_activation_counted_pixel_by_pixel(size, grid):
    """The activation of each cell is spread evenly over its pixels; the teacher sees the unmixed images once."""
    torch.manual_seed(0)
    maps = torch.rand(5, *grid)
    augment = TokenMix(patch_size=16, teacher=Teacher(maps), target='bce')
    images, scores = unique_batch(5, size)
    mixed, blended = augment(images, scores)
    pixels = maps.repeat_interleave(size[0] // grid[0], 1).repeat_interleave(size[1] // grid[1], 2).double()
    for b in range(5):
        expected = torch.zeros(5)
        for owner in mixed[b, 0].unique().long().tolist():
            expected[owner] = pixels[owner][mixed[b, 0] == owner].sum() / pixels[owner].sum()
        torch.testing.assert_close(blended[b], expected, atol=1e-5, rtol=0)
    ((seen, labels),) = augment.teacher.asked
    assert torch.equal(seen, images) and torch.equal(labels, scores.argmax(1))


@pytest.mark.parametrize(
    ('settings', 'size', 'tokens'),
    [
        (dict(), (224, 224), 112),  # the released code's: 98 + 14 of 196
        (dict(lam=1.0, extra=0.25), (64, 64), 4),
        (dict(lam=0.01, extra=0), (32, 32), 3),  # something of the sample remains
        (dict(lam=0.99, extra=0), (32, 32), 1),
    ],
)
def test_the_share_of_the_partner_is_fixed(settings, size, tokens):
    torch.manual_seed(0)
    augment = TokenMix(teacher=Teacher(torch.rand(4, 2, 2)), **settings)
    augment(*unique_batch(4, size))
    mask = augment.pop_target().mask
    assert (~mask[:, 0, ::16, ::16]).flatten(1).sum(1).tolist() == [tokens] * 4
    assert torch.equal(mask[:, :, ::16, ::16].repeat_interleave(16, 2).repeat_interleave(16, 3), mask)
    assert tokens < 100 or len(mask.unique(dim=0)) == 4  # drawn per sample
    assert augment.few_cells(size) is None


def test_the_moving_average_is_the_teacher():
    torch.manual_seed(0)
    model, ema = (MODELS.build(EXTRACTOR) for _ in range(2))
    augment = TokenMix(target='bce')
    with pytest.raises(ValueError, match=r"^TokenMix has teacher='ema', but .*add dict\(type='EMAHook'\)"):
        augment.bind(model, None)
    with pytest.raises(ValueError, match=r'the moving average is on meta and the model on cpu: remove device'):
        augment.bind(model, MODELS.build(EXTRACTOR).to('meta'))
    augment.bind(model, ema)
    images, scores = torch.randn(4, 3, 64, 64), torch.eye(5)[:4]
    expected = FrozenClassifier.of(ema).activation_map(images, scores.argmax(1))
    augment(images, scores)
    target = augment.pop_target()
    index = target.partner_scores.argmax(1)
    torch.testing.assert_close(target.weights, augment.weigh(expected, target.mask, index))


def test_a_teacher_of_other_classes_is_refused():
    augment = TokenMix(teacher=MODELS.build(EXTRACTOR))
    with pytest.raises(ValueError, match=r'teacher ImageClassifier has 5 classes, .* batch have 3: use a'):
        augment(*unique_batch(2, classes=3))
