"""TokenMix's weights against loops over pixels and numbers by hand, with teachers whose maps are known."""

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.models import ImageClassifier, LabelSmoothLoss
from torch import nn

from mixpro_mm.augments import token_mix
from mixpro_mm.augments.base import PARTNERS
from mixpro_mm.augments.networks import FrozenClassifier
from mixpro_mm.augments.token_mix import TokenMix
from mixpro_mm.labeling import AttentionLabeling
from mixpro_mm.labeling.rules import AreaLabeling

HOOK = r"add dict\(type='mixpro_mm\.LabelingHook'\) to custom_hooks \(with labeling='AreaLabeling'"


class Teacher(FrozenClassifier):
    """Answers with given maps (B, h, w), in the order it is asked, and notes what it was asked."""

    def __init__(self, maps):
        self.maps, self.asked = maps, []

    def activation_map(self, images, labels, classes=None):
        self.asked.append((images.clone(), labels.clone()))
        return self.maps


def fixed(augment, mask, monkeypatch):
    """The augment with its mask given and the two images of the batch each other's partner, all else its own."""
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


@pytest.mark.parametrize('target', ['ce', 'bce'])
def test_weights_by_hand(target, monkeypatch):
    """Two images of 2 x 2 tokens, the teacher's map of the same grid.

    The first shows its upper row, 1 + 2 of 1 + 2 + 3 + 4 = 0.3, and the second image's lower one, 2 + 2 of 8 = 0.5.
    The second shows its upper left token, 4 of 8 = 0.5, and the rest of the first image, 9 of 10.
    """
    maps = torch.tensor([[[1.0, 2], [3, 4]], [[4, 0], [2, 2]]])
    mask = torch.tensor([[[True, True], [False, False]], [[True, False], [False, False]]]).unsqueeze(1)
    mask = mask.repeat_interleave(8, 2).repeat_interleave(8, 3)
    augment = TokenMix(patch_size=8, teacher=Teacher(maps), target=target)
    fixed(augment, mask, monkeypatch)
    images, scores = batch_of(2, (16, 16), classes=3)
    mixed, blended = augment(images, scores)
    raw = torch.tensor([[0.3, 0.5], [0.5, 0.9]])
    expected = raw if target == 'bce' else torch.tensor([[3 / 8, 5 / 8], [5 / 14, 9 / 14]])
    torch.testing.assert_close(augment.pop_target().weights, expected)
    labels = [[expected[0, 0], expected[0, 1], 0], [expected[1, 1], expected[1, 0], 0]]
    torch.testing.assert_close(blended, torch.tensor(labels))
    assert mixed[:, 0, ::8, ::8].tolist() == [[[0, 0], [1, 1]], [[1, 0], [0, 0]]]


def test_half_of_the_smoothing_goes_to_each_image(monkeypatch):
    """The released code's targets: y - s / 2 + s / K for the two classes of a mix, s / K for others.

    As above, the first image shows 0.3 of its activation and 0.5 of its partner's: for s = 0.1 and 3 classes
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
    monkeypatch.setattr(torch.Tensor, 'tolist', lambda tensor: pytest.fail('only a CPU can look at the labels'))
    with pytest.raises(ValueError, match=rf'teacher ImageClassifier has {classes} classes, .* batch have 5: name a'):
        TokenMix(teacher=tiny_classifier(classes))(*batch_of(2))


def test_a_moving_average_on_another_device_is_refused():
    with pytest.raises(ValueError, match=r'the moving average is on meta and the model on cpu: leave device out of'):
        TokenMix(teacher='ema').bind(tiny_classifier(), tiny_classifier().to('meta'))


@pytest.mark.parametrize('size', [(64, 64), (48, 80), (40, 72)])
@pytest.mark.parametrize('grid', [(2, 2), (4, 4), (8, 8), (1, 1)])
def test_weights_are_the_visible_activation_counted_pixel_by_pixel(size, grid):
    """Every pixel carries the activation of the teacher's cell above it, divided by the pixels of that cell."""
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


def test_nothing_visible_of_either_is_area_for_ce_and_nothing_for_bce(monkeypatch):
    """Each image shows its upper three quarters; the first is active only below them, the second only there."""
    maps = torch.tensor([[[0.0], [0], [0], [1]], [[1], [1], [1], [0]]])
    mask = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    mask[:, :, :12] = True
    for target, first in dict(bce=[0.0, 0.0], ce=[0.75, 0.25]).items():
        augment = TokenMix(patch_size=8, teacher=Teacher(maps), target=target)
        fixed(augment, mask, monkeypatch)(*batch_of(2, (16, 16)))
        second = [1.0, 1.0] if target == 'bce' else [0.5, 0.5]
        torch.testing.assert_close(augment.pop_target().weights, torch.tensor([first, second]))


def test_the_teacher_is_asked_once_about_whole_images_and_their_own_class():
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
        (dict(), (112, 112), 28),
        (dict(extra=0), (224, 224), 98),
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
    assert torch.equal(mixed == images, mask.expand_as(images))  # flip of an even batch: nobody is their own partner
    assert torch.equal(mask[:, :, ::16, ::16].repeat_interleave(16, 2).repeat_interleave(16, 3), mask)
    if settings == {}:
        assert len({sample.tobytes() for sample in mask.numpy()}) == 4  # drawn per sample


def test_blocks_are_drawn_with_the_settings_given(monkeypatch):
    asked = {}

    def block_mask(count, grid, **kwargs):
        asked.update(kwargs, count=count.tolist(), grid=grid)
        return torch.zeros(len(count), 1, *grid, dtype=torch.bool)

    monkeypatch.setattr(token_mix, 'block_mask', block_mask)
    TokenMix(teacher=Teacher(torch.rand(3, 2, 2)), min_patches=5, aspect=0.7, patch_size=8)(*batch_of(3, (64, 36)))
    assert asked == dict(min_patches=5, aspect=0.7, count=[23] * 3, grid=(8, 5), device=torch.device('cpu'))


def test_area_labeling_leaves_the_weights_and_attention_labeling_replaces_them():
    torch.manual_seed(0)
    augment = TokenMix(teacher=Teacher(torch.rand(4, 2, 2)), partner='flip')
    _, blended = augment(*batch_of(4))
    target = augment.pop_target()
    row, logits = torch.rand(4, 16), torch.randn(4, 5)
    assert torch.equal(target.blend(AreaLabeling()(target, None, None, logits).lam), blended)
    weights = AttentionLabeling()(target, row, (4, 4), logits)
    by_attention = target.blend(weights.lam)
    torch.testing.assert_close(by_attention.sum(1), torch.ones(4))
    lam = (target.lam_area + (row.view(4, 1, 4, 4) * target.mask[:, :, ::16, ::16]).sum((1, 2, 3)) / row.sum(1)) / 2
    torch.testing.assert_close(by_attention[torch.arange(4), torch.arange(4)], lam)


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


def test_what_is_not_shown_is_one_sentence():
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


def test_another_teacher_needs_nobody():
    net = tiny_classifier()
    for teacher in (net, FrozenClassifier(net)):
        augment = TokenMix(teacher=teacher)
        torch.manual_seed(0)
        _, first = augment(*batch_of(3))
        augment.bind(tiny_classifier(), None)  # as LabelingHook does to every augment
        augment.unbind()
        torch.manual_seed(0)
        _, second = augment(*batch_of(3))
        assert torch.equal(first, second)


def test_arguments_reach_the_classifier_that_is_built(monkeypatch):
    calls = []

    class Recorder(FrozenClassifier):
        def __init__(self, model, checkpoint=None, layer=None):
            calls.append(('built', model, checkpoint, layer))

        @classmethod
        def of(cls, model, layer=None):
            calls.append(('of', model, layer))

    monkeypatch.setattr(token_mix, 'FrozenClassifier', Recorder)
    TokenMix(teacher='torchvision.resnet18', checkpoint='a.pth', layer='layer4')
    ema = nn.Identity()
    TokenMix(layer='norm').bind(nn.Identity(), ema)
    assert calls == [('built', 'torchvision.resnet18', 'a.pth', 'layer4'), ('of', ema, 'norm')]
