import copy
import itertools

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mixpro_mm.augments.attentive_cutmix import AttentiveCutMix
from mixpro_mm.augments.networks import FrozenClassifier
from tests.augments.kit import EXTRACTOR


def mirror():
    """Return a net whose last map is the image."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5))


def cells_of(image, grid):
    """Return the parts of an image (C, H, W) by cell: pixel p belongs to cell floor(p * grid / length)."""
    owners = [torch.tensor([p * grid // length for p in range(length)]) for length in image.shape[1:]]
    cells = itertools.product(range(grid), range(grid))
    return {(i, j): image[:, owners[0] == i][:, :, owners[1] == j] for i, j in cells}


CASES = [(7, 6, None, 6, (28, 42)), (4, 1, None, 1, (16, 16)), (3, 8, None, 8, (24, 12))]
RATIOS = ((0.0, 49), (0.5, 24), (0.9, 4), (0.99, 0), (1.0, 0))
CASES += [(7, None, lam, count, (28, 28)) for lam, count in RATIOS]


@pytest.mark.parametrize(('grid', 'top_k', 'lam', 'count', 'size'), CASES)
def test_the_strongest_cells_of_the_partner_are_pasted(grid, top_k, lam, count, size, monkeypatch):
    torch.manual_seed(1)
    augment = AttentiveCutMix(mirror(), grid=grid, top_k=top_k, partner='flip')
    assert augment.alpha == 2.0
    monkeypatch.setattr(augment, 'draw_ratio', lambda batch: torch.full((batch,), lam))
    images = torch.randn(4, 3, *size)
    augment(images, torch.eye(4))
    for mask, partner in zip(augment.pop_target().mask, images.flip(0), strict=True):
        parts = cells_of(mask, grid)
        means = {cell: part.mean().item() for cell, part in cells_of(partner, grid).items()}
        strongest = sorted(means, key=means.get, reverse=True)[:count]
        assert all(not part.any() if cell in strongest else part.all() for cell, part in parts.items())


def test_the_extractor_is_no_part_of_the_model_that_mixes():
    torch.manual_seed(0)
    augment = AttentiveCutMix(EXTRACTOR, checkpoint=False)
    model = MODELS.build(dict(copy.deepcopy(EXTRACTOR), train_cfg=dict(augments=augment)))
    net = augment.extractor.net
    assert model.state_dict().keys() == MODELS.build(EXTRACTOR).state_dict().keys()
    assert not {id(module) for module in model.modules()} & {id(module) for module in net.modules()}
    (copied,) = copy.deepcopy(model).data_preprocessor.batch_augments.augments  # as EMAHook does
    assert copied is not augment and copied.extractor.net is net
    before, optimizer = copy.deepcopy(net.state_dict()), OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    samples = [DataSample().set_gt_label(i % 5).set_gt_score(torch.eye(5)[i % 5]) for i in range(4)]
    inputs = [(255 * torch.rand(3, 64, 64)).byte() for _ in range(4)]
    assert torch.isfinite(model.train().train_step(dict(inputs=inputs, data_samples=samples), optimizer)['loss'])
    assert augment.pop_target().lam_area.tolist() == pytest.approx([1 - 6 / 49] * 4, abs=0.03)
    assert not any(module.training for module in net.modules())
    assert all(p.grad is None and not p.requires_grad for p in net.parameters())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_one_frozen_classifier_can_serve_several_methods():
    extractor = FrozenClassifier(mirror())
    assert AttentiveCutMix(extractor).extractor is extractor
    with pytest.raises(ValueError, match=r'^checkpoint and layer cannot be combined'):
        AttentiveCutMix(extractor, checkpoint='weights.pth')
