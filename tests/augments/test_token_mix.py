"""TokenMix's weights against loops over pixels, with given teacher maps."""

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.models import ImageClassifier, LabelSmoothLoss

from mixpro_mm.augments.base import PARTNERS
from mixpro_mm.augments.networks import FrozenClassifier
from mixpro_mm.augments.token_mix import TokenMix

HOOK = r"add dict\(type='mixpro_mm\.LabelingHook'\) to custom_hooks \(labeling='AreaLabeling'"


class Teacher(FrozenClassifier):
    """Returns given maps (B, h, w) and records its arguments."""

    def __init__(self, maps):
        self.maps, self.asked = maps, []

    def activation_map(self, images, labels, classes=None):
        self.asked.append((images.clone(), labels.clone()))
        return self.maps


def fixed(augment, mask, monkeypatch):
    """Fix the mask of an augment and swap the two images of the batch."""
    monkeypatch.setattr(augment, 'draw_mask', lambda images, index: mask)
    monkeypatch.setitem(PARTNERS, 'permutation', lambda batch, device: torch.tensor([1, 0]))
    return augment


def batch_of(batch, size=(64, 64), classes=5):
    images = torch.arange(batch).float().view(-1, 1, 1, 1).expand(-1, 3, *size).clone()
    return images, F.one_hot(torch.arange(batch) % classes, classes).float()


def tiny_classifier(classes=5):
    torch.manual_seed(0)
    return ImageClassifier(
        backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=classes, in_channels=32),
    )


def test_half_of_the_smoothing_goes_to_each_image(monkeypatch):
    """The released code's targets: y - s / 2 + s / K for the two classes of a mix, s / K for others.

    The first image shows 0.3 of its activation and 0.5 of its partner's: for s = 0.1 and 3 classes
    0.3 - 0.05 + 0.0333 = 0.2833, 0.5 - 0.05 + 0.0333 = 0.4833 and 0.0333.
    """
    maps = torch.tensor([[[1.0, 2], [3, 4]], [[4, 0], [2, 2]]])
    mask = torch.tensor([[[True, True], [False, False]], [[True, False], [False, False]]]).unsqueeze(1)
    mask = mask.repeat_interleave(8, 2).repeat_interleave(8, 3)
    augment = TokenMix(patch_size=8, teacher=Teacher(maps), target='bce', smoothing=0.1)
    _, blended = fixed(augment, mask, monkeypatch)(*batch_of(2, (16, 16), classes=3))
    loss = LabelSmoothLoss(0.1, num_classes=3, mode='original', use_sigmoid=True)
    targets = torch.tensor([[0.2833, 0.4833, 0.0333], [0.8833, 0.4833, 0.0333]])
    torch.testing.assert_close(loss.smooth_label(blended), targets, atol=1e-4, rtol=0)


@pytest.mark.parametrize('classes', [3, 7])
def test_a_teacher_of_other_classes_is_refused_on_any_device(classes, monkeypatch):
    monkeypatch.setattr(torch.Tensor, 'tolist', lambda tensor: pytest.fail('labels are compared on the CPU only'))
    with pytest.raises(ValueError, match=rf'teacher ImageClassifier has {classes} classes, .* batch have 5: use a'):
        TokenMix(teacher=tiny_classifier(classes))(*batch_of(2))


def test_a_moving_average_on_another_device_is_refused():
    with pytest.raises(ValueError, match=r'the moving average is on meta and the model on cpu: remove device'):
        TokenMix(teacher='ema').bind(tiny_classifier(), tiny_classifier().to('meta'))


@pytest.mark.parametrize('size', [(64, 64), (48, 80), (40, 72)])
@pytest.mark.parametrize('grid', [(2, 2), (4, 4), (8, 8), (1, 1)])
def test_weights_are_the_visible_activation_counted_pixel_by_pixel(size, grid):
    """The activation of each cell is spread evenly over its pixels."""
    torch.manual_seed(0)
    maps = torch.rand(5, *grid)
    augment = TokenMix(patch_size=16, teacher=Teacher(maps), target='bce')
    images, scores = batch_of(5, size)
    mixed, blended = augment(images, scores)
    pixels = maps.repeat_interleave(size[0] // grid[0], 1).repeat_interleave(size[1] // grid[1], 2).double()
    for b in range(5):
        expected = torch.zeros(5)
        for owner in mixed[b, 0].unique().long().tolist():
            expected[owner] = pixels[owner][mixed[b, 0] == owner].sum() / pixels[owner].sum()
        torch.testing.assert_close(blended[b], expected, atol=1e-5, rtol=0)


def test_an_image_without_activation_counts_by_its_area(monkeypatch):
    maps = torch.stack([torch.zeros(2, 2), torch.tensor([[1.0, 1], [1, 5]])])
    mask = torch.tensor([[[True, True], [False, False]]] * 2).unsqueeze(1).repeat_interleave(8, 2)
    mask = mask.repeat_interleave(8, 3)
    for target, expected in dict(bce=[[0.5, 6 / 8], [2 / 8, 0.5]], ce=[[2 / 5, 3 / 5], [1 / 3, 2 / 3]]).items():
        augment = TokenMix(patch_size=8, teacher=Teacher(maps), target=target)
        fixed(augment, mask, monkeypatch)(*batch_of(2, (16, 16)))
        torch.testing.assert_close(augment.pop_target().weights, torch.tensor(expected))


def test_the_teacher_sees_the_unmixed_images_once():
    torch.manual_seed(0)
    images = torch.rand(6, 3, 64, 64)
    scores = torch.rand(6, 5)
    teacher = Teacher(torch.rand(6, 4, 4))
    TokenMix(teacher=teacher)(images, scores)
    ((seen, labels),) = teacher.asked
    assert torch.equal(seen, images)
    assert torch.equal(labels, scores.argmax(1))


@pytest.mark.parametrize(
    ('settings', 'size', 'tokens'),
    [
        (dict(), (224, 224), 112),  # the released code's: 98 + 14 of 196
        (dict(lam=0.75, extra=0), (128, 64), 8),
        (dict(lam=1.0, extra=0.25), (64, 64), 4),
        (dict(lam=0.01, extra=0), (32, 32), 3),  # something of the sample remains
        (dict(lam=0.99, extra=0), (32, 32), 1),
    ],
)
def test_the_share_of_the_partner_is_fixed(settings, size, tokens):
    torch.manual_seed(0)
    augment = TokenMix(teacher=Teacher(torch.rand(4, 2, 2)), partner='flip', **settings)
    images, scores = batch_of(4, size)
    mixed, _ = augment(images, scores)
    mask = augment.pop_target().mask
    assert (~mask[:, 0, ::16, ::16]).flatten(1).sum(1).tolist() == [tokens] * 4
    assert torch.equal(mixed == images, mask.expand_as(images))  # flip of an even batch: no sample is its own partner
    assert torch.equal(mask[:, :, ::16, ::16].repeat_interleave(16, 2).repeat_interleave(16, 3), mask)
    if settings == {}:
        assert len({sample.tobytes() for sample in mask.numpy()}) == 4  # drawn per sample


def test_the_moving_average_teaches_and_is_left_as_it_was():
    model, ema = tiny_classifier().train(), tiny_classifier().train()
    with torch.no_grad():
        for parameter in ema.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    augment = TokenMix(teacher='ema', target='bce')
    augment.bind(model, ema)
    before = copy.deepcopy(ema.state_dict())
    images, scores = torch.randn(4, 3, 64, 64), torch.eye(5)[:4]
    expected = FrozenClassifier.of(ema).activation_map(images, scores.argmax(1))
    torch.manual_seed(1)
    augment(images, scores)
    target = augment.pop_target()
    index = target.partner_scores.argmax(1)
    torch.testing.assert_close(target.weights, augment.weigh(expected, target.mask, index))
    assert all(torch.equal(value, before[name]) for name, value in ema.state_dict().items())
    assert all(module.training for net in (model, ema) for module in net.modules())
    assert all(parameter.grad is None for net in (model, ema) for parameter in net.parameters())


def test_an_unbound_teacher_raises():
    augment = TokenMix()
    with pytest.raises(RuntimeError, match=rf'^TokenMix needs its teacher.*{HOOK}.*\)$'):
        augment(*batch_of(2))
    with pytest.raises(
        ValueError, match=r"^TokenMix has teacher='ema', but .*add dict\(type='EMAHook'\) to custom_hooks"
    ):
        augment.bind(tiny_classifier(), None)
    augment.bind(tiny_classifier(), tiny_classifier())
    augment(*batch_of(2))
    augment.unbind()
    with pytest.raises(RuntimeError, match='needs its teacher'):
        augment(*batch_of(2))
