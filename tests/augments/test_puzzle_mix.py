import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from mixpro_mm.augments.puzzle_mix import PuzzleMix, input_saliency
from mixpro_mm.functional.transport import move_blocks, transport_plan


class Classifier(nn.Module):
    """Called like the classifiers of mmpretrain; dropout and batch norm depend on the mode."""

    def __init__(self, size=(16, 16), channels=3, classes=4):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(channels * size[0] * size[1], classes)

    def forward(self, inputs, mode='tensor'):
        assert mode == 'tensor'
        return self.fc(self.drop(self.norm(inputs)).flatten(1))


def bound(model, **settings):
    augment = PuzzleMix(**settings)
    augment.bind(model)
    return augment


def block_saliency(model, images, scores, side):
    """Return the mean saliency of blocks, of sum 1."""
    saliency = F.avg_pool2d(input_saliency(model, images, scores).double(), side)
    return saliency / saliency.sum((1, 2), keepdim=True)


def batch_of(batch, size=(16, 16), classes=4):
    return torch.randn(batch, 3, *size), F.one_hot(torch.arange(batch) % classes, classes).float()


def test_saliency_of_a_linear_classifier_in_closed_form():
    torch.manual_seed(0)
    model = Classifier(size=(4, 6)).eval()
    with torch.no_grad():
        model.norm.running_var.uniform_(0.5, 2)
        model.norm.running_mean.normal_()
    images, scores = torch.randn(5, 3, 4, 6), torch.rand(5, 4).softmax(1)
    logits = model.fc(model.norm(images).flatten(1))
    gradient = ((logits.softmax(1) - scores) @ model.fc.weight).view_as(images)
    gradient = gradient / (model.norm.running_var + model.norm.eps).sqrt().view(1, 3, 1, 1)
    expected = (gradient.pow(2).sum(1) / 3).sqrt()
    saliency = input_saliency(model.train(), images, scores)
    torch.testing.assert_close(saliency, expected.detach())
    assert not saliency.requires_grad
    torch.testing.assert_close(input_saliency(model, images[2:3], scores[2:3])[0], saliency[2])


@pytest.mark.parametrize('context', [torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16)])
def test_saliency_is_single_precision_and_draws_nothing(context):
    torch.manual_seed(1)
    model, batch = Classifier().train(), batch_of(4)
    expected, state = input_saliency(model, *batch), torch.get_rng_state()
    with context:
        assert torch.equal(input_saliency(model, *batch), expected)
    assert torch.equal(torch.get_rng_state(), state) and expected.min() > 0


def energy(z, saliency, partner_saliency, images, partner_images, lam, beta, gamma, eta):
    """Return the energy of the docstring for one sample by loops; images in [0, 1], neigh 1."""
    b, total = len(z), 0.0
    side = images.shape[1] // b

    def block(i, j):
        return (images if z[i][j] else partner_images)[:, i * side : (i + 1) * side, j * side : (j + 1) * side]

    for i, j in itertools.product(range(b), range(b)):
        total += float(partner_saliency[i, j] if z[i][j] else saliency[i, j])
        total -= eta / b**2 * math.log(lam if z[i][j] else 1 - lam)
        borders = []
        if i + 1 < b:
            borders.append((z[i + 1][j], block(i, j)[:, -1] - block(i + 1, j)[:, 0]))
        if j + 1 < b:
            borders.append((z[i][j + 1], block(i, j)[:, :, -1] - block(i, j + 1)[:, :, 0]))
        for label, jump in borders:
            total += beta / (16 * b) * ((z[i][j] != label) + gamma * float(jump.abs().mean()))
    return total


SMOOTH = dict(beta=4.0, eta=0.05)  # with its seeds another gamma would give other masks
ENERGIES = [(2, 0, {}), (2, 1, dict(eta=0.0, gamma=0.0)), (3, 2, {}), (3, 3, dict(beta=0.0, eta=1.0))]


@pytest.mark.parametrize(('b', 'seed', 'settings'), [*ENERGIES, (3, 8, SMOOTH), (3, 12, SMOOTH | dict(gamma=1.0))])
def test_mask_has_the_least_energy_of_all(b, seed, settings, monkeypatch):
    torch.manual_seed(seed)
    model = Classifier(size=(12, 12))
    with torch.no_grad():
        model.fc.weight *= torch.rand_like(model.fc.weight) ** 4
    augment = bound(model, blocks=[b], transport=False, neigh=1, partner='flip', ratio='sample', **settings)
    images, scores = F.interpolate(torch.rand(4, 3, 2 * b, 2 * b).round(), size=12), torch.eye(4)
    lam = torch.tensor([0.2, 0.45, 0.6, 0.9])
    monkeypatch.setattr(augment, 'draw_ratio', lambda batch: lam)
    augment(images, scores)
    mask = augment.pop_target().mask[:, 0, :: 12 // b, :: 12 // b]
    saliency, weights = block_saliency(model, images, scores, 12 // b), (augment.beta, augment.gamma, augment.eta)
    grids = [[code[i : i + b] for i in range(0, b * b, b)] for code in itertools.product([0, 1], repeat=b * b)]
    for n in (0, 2):
        known = saliency[n], saliency[3 - n], images[n], images[3 - n], lam[n].item()
        least = min(energy(z, *known, *weights) for z in grids)
        assert energy(mask[n].int().tolist(), *known, *weights) == pytest.approx(least, abs=1e-6)


def test_each_image_moves_by_its_own_saliency():
    torch.manual_seed(14)
    model = Classifier(classes=5)
    with torch.no_grad():
        model.fc.weight *= torch.rand_like(model.fc.weight) ** 8 * 30
    images, scores = batch_of(5, classes=5)
    augment = bound(model, blocks=(4,), beta=0.1, eta=0.0, t_eps=0.02, partner='flip')
    mixed, _ = augment(images, scores)
    mask = augment.pop_target().mask
    saliency, shown = block_saliency(model, images, scores, 4).float(), mask[:, 0, ::4, ::4]
    own = move_blocks(images, transport_plan(saliency, shown, 0.02), (4, 4))
    partner = move_blocks(images.flip(0), transport_plan(saliency.flip(0), ~shown, 0.02), (4, 4))
    assert torch.equal(mixed, torch.where(mask, own, partner))
    assert (torch.where(mask, own, 0) != torch.where(mask, images, 0)).any()
    assert (torch.where(mask, 0, partner) != torch.where(mask, 0, images.flip(0))).any()


@pytest.mark.parametrize('scale', [1.0, 0.0, 1e30, math.nan])
def test_the_share_follows_the_prior(scale, monkeypatch):
    """Also if the saliency is zero or not finite."""
    torch.manual_seed(5)
    augment = bound(Classifier(), ratio='sample', eta=5.0, blocks=(4, 8), partner='flip')
    with torch.no_grad():
        augment._bound.fc.weight *= scale
    for lam in (torch.tensor([0.0, 1.0, 0.99, 0.01]), torch.tensor([1.0, 0.0, 0.02, 0.97])):
        monkeypatch.setattr(augment, 'draw_ratio', lambda batch, lam=lam: lam)
        augment(*batch_of(4))
        assert augment.pop_target().lam_area.tolist() == lam.round().tolist()


def test_only_grids_that_divide_both_sides_are_drawn():
    torch.manual_seed(7)
    augment = PuzzleMix()
    assert {augment.draw_grid((24, 56)) for _ in range(40)} == {(2, 2), (4, 4), (8, 8)}
    assert {augment.draw_grid((224, 224)) for _ in range(60)} == {(2, 2), (4, 4), (8, 8), (16, 16)}
    assert {augment.draw_grid((6, 64)) for _ in range(9)} == {(2, 2)}
