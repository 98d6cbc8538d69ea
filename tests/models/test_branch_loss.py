import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from mmpretrain.engine.hooks import SwitchRecipeHook

from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.models import BranchLoss
from tests import micro as kit

EPS, CLASSES, SMOOTH = 0.1, kit.CLASSES, kit.STOCK
HARD = dict(type='CrossEntropyLoss', use_soft=True)
LOSS = dict(type='mixpro_mm.BranchLoss', loss=SMOOTH, labelled=HARD)


def soft_cross_entropy(logits, target, eps):
    smoothed = target * (1 - eps) + eps / target.shape[1]
    return -(smoothed * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def test_only_the_batch_that_was_expected_goes_to_the_other_loss():
    torch.manual_seed(0)
    loss = BranchLoss(SMOOTH, HARD)
    logits, target = torch.randn(4, CLASSES, requires_grad=True), torch.rand(4, CLASSES).softmax(1)
    loss.expect(None, None)
    values = [loss(logits, target) for _ in range(2)]
    torch.testing.assert_close(values[0], soft_cross_entropy(logits, target, 0))
    torch.testing.assert_close(values[1], soft_cross_entropy(logits, target, EPS))
    assert (values[0] - values[1]).abs() > 1e-3
    loss.expect(None, None)
    loss.release()
    assert loss(logits, target) == values[1]


@pytest.mark.parametrize(('chosen', 'eps'), [('labelled', 0), ('loss', EPS)])
def test_labelled_batches_are_not_smoothed_in_training(chosen, eps, tmp_path):
    augment = kit.mixpro() if chosen == 'labelled' else dict(type='Mixup', alpha=0.8)
    spare = dict(type='mixpro_mm.MaskMix', patch_size=8, mask_scale=1)  # never drawn; the hook requires one
    model, seen = kit.classifier(LOSS, augments=[augment, spare], probs=[1.0, 0.0]), []
    loss = getattr(model.head.loss_module, chosen)
    loss.register_forward_hook(lambda module, args, output: seen.append((*args, output)))
    kit.train(model, tmp_path, LabelingHook())
    assert len(seen) == 2
    for logits, target, value in seen:
        torch.testing.assert_close(value, soft_cross_entropy(logits, target, eps))
    assert model.state_dict().keys() == kit.classifier().state_dict().keys()


def test_losses_with_parameters_raise():
    learnable = dict(type='mixpro_mm.LearnableFactor', loss=SMOOTH)
    with pytest.raises(ValueError, match=r'^BranchLoss chooses .* got one with labelled\.raw_factor$'):
        BranchLoss(SMOOTH, learnable)


@pytest.mark.parametrize(('built', 'late'), [(LOSS, SMOOTH), (SMOOTH, LOSS)], ids=['out', 'in'])
def test_a_recipe_can_add_or_remove_it(built, late, tmp_path):
    model = kit.classifier(built, augments=kit.mixpro())
    kit.train(model, tmp_path, SwitchRecipeHook([dict(action_epoch=2, loss=late)]), LabelingHook(), epochs=2)
    assert isinstance(model.head.loss_module, BranchLoss) is (late is LOSS)
