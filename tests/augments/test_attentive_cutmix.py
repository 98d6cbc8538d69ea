import copy
import itertools

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mixpro_mm.augments.attentive_cutmix import AttentiveCutMix
from mixpro_mm.augments.networks import FrozenClassifier

GAP = dict(type='mmpretrain.GlobalAveragePooling')
RESNET = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmpretrain.ResNet', depth=18, stem_channels=4, base_channels=4),
    neck=GAP,
    head=dict(type='mmpretrain.LinearClsHead', num_classes=5, in_channels=32),
)


def mirror(stride=1):
    """Return a net whose last map is the image, averaged over ``stride`` x ``stride`` pixels."""
    return nn.Sequential(nn.AvgPool2d(stride), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))


def ends(length, grid):
    """Return the pixel ranges of the cells: pixel p belongs to cell floor(p * grid / length)."""
    owner = [p * grid // length for p in range(length)]
    return [(owner.index(cell), owner.index(cell) + owner.count(cell)) for cell in range(grid)]


def strongest(image, grid, count):
    """Return the cells (row, column) with the largest mean over channels and pixels, by loops."""
    cells = itertools.product(enumerate(ends(image.shape[1], grid)), enumerate(ends(image.shape[2], grid)))
    means = {(i, j): float(image[:, a:b, c:d].mean()) for (i, (a, b)), (j, (c, d)) in cells}
    return set(sorted(means, key=means.get, reverse=True)[:count])


def pasted(mask, grid):
    """Return the false cells of a mask (H, W)."""
    cells = itertools.product(enumerate(ends(mask.shape[0], grid)), enumerate(ends(mask.shape[1], grid)))
    parts = {(i, j): mask[a:b, c:d] for (i, (a, b)), (j, (c, d)) in cells}
    assert all(part.all() or not part.any() for part in parts.values())
    return {cell for cell, part in parts.items() if not part.any()}


@pytest.mark.parametrize(('grid', 'top_k', 'size'), [(7, 6, (28, 42)), (4, 1, (16, 16)), (3, 8, (24, 12))])
@pytest.mark.parametrize('partner', ['permutation', 'flip'])
def test_the_strongest_cells_of_the_partner_are_pasted(grid, top_k, size, partner, monkeypatch):
    torch.manual_seed(1)
    images, scores = torch.randn(5, 3, *size), torch.eye(5)
    augment = AttentiveCutMix(mirror(), grid=grid, top_k=top_k, partner=partner)
    seen, draw_mask = {}, augment.draw_mask
    monkeypatch.setattr(augment, 'draw_mask', lambda x, index: draw_mask(x, seen.setdefault('index', index)))
    mixed, blended = augment(images, scores)
    index, mask = seen['index'], augment.pop_target().mask
    assert (index != torch.arange(5)).any()
    for sample in range(5):
        assert pasted(mask[sample, 0], grid) == strongest(images[index[sample]], grid, top_k)
    assert torch.equal(mixed, torch.where(mask, images, images[index]))
    share = 1 - top_k / grid**2  # the grid divides the image
    assert torch.allclose(blended, share * scores + (1 - share) * scores[index])


@pytest.mark.parametrize(('lam', 'cells'), [(0.0, 49), (0.5, 24), (0.9, 4), (0.99, 0), (1.0, 0)])
def test_the_number_of_cells_follows_the_ratio(lam, cells, monkeypatch):
    augment = AttentiveCutMix(mirror(), top_k=None, partner='flip')
    assert augment.alpha == 2.0
    monkeypatch.setattr(augment, 'draw_ratio', lambda batch: torch.full((batch,), lam))
    images = torch.randn(2, 3, 28, 28)
    augment(images, torch.eye(2))
    for sample, one in enumerate(augment.pop_target().mask):
        assert pasted(one[0], 7) == strongest(images[1 - sample], 7, cells)


def classifier(augments):
    torch.manual_seed(0)
    return MODELS.build(dict(copy.deepcopy(RESNET), train_cfg=dict(augments=augments)))


def test_the_extractor_is_no_part_of_the_model_that_mixes(tmp_path):
    torch.save(classifier(None).state_dict(), tmp_path / 'weights.pth')
    settings = dict(type='AttentiveCutMix', extractor=RESNET, checkpoint=str(tmp_path / 'weights.pth'))
    model, plain = classifier([settings]), classifier(None)
    assert model.state_dict().keys() == plain.state_dict().keys()
    assert sum(1 for _ in model.modules()) == sum(1 for _ in plain.modules())
    optim_wrapper = build_optim_wrapper(model, dict(optimizer=dict(type='SGD', lr=0.1)))
    owned = {id(p) for group in optim_wrapper.param_groups for p in group['params']}
    (augment,) = model.data_preprocessor.batch_augments.augments
    net = augment.extractor.net
    assert owned == {id(p) for p in model.parameters()}
    assert not owned & {id(p) for p in net.parameters()}

    (copied,) = copy.deepcopy(model).data_preprocessor.batch_augments.augments  # as EMAHook does
    assert copied is not augment and copied.extractor.net is net

    before = copy.deepcopy(net.state_dict())
    samples = [DataSample().set_gt_label(i % 5).set_gt_score(torch.eye(5)[i % 5]) for i in range(4)]
    inputs = [(255 * torch.rand(3, 64, 64)).byte() for _ in range(4)]
    assert torch.isfinite(model.train().train_step(dict(inputs=inputs, data_samples=samples), optim_wrapper)['loss'])
    assert augment.pop_target().lam_area.tolist() == pytest.approx([1 - 6 / 49] * 4, abs=0.03)
    assert not any(module.training for module in net.modules())
    assert all(p.grad is None and not p.requires_grad for p in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_one_frozen_classifier_can_serve_several_methods():
    extractor = FrozenClassifier(mirror())
    assert AttentiveCutMix(extractor).extractor is extractor
    with pytest.raises(ValueError, match=r'^checkpoint and layer cannot be combined'):
        AttentiveCutMix(extractor, checkpoint='weights.pth')
