import pytest
import torch
from mmpretrain.models import CrossEntropyLoss
from mmpretrain.registry import MODELS

from mixpro_mm.models import BranchLoss, LearnableFactor, LocalContextLoss, wrappers_of

LOSSES = {
    'smooth': dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=5, loss_weight=0.7),
    'none': dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=5, reduction='none'),
    'soft': dict(type='CrossEntropyLoss', use_soft=True, reduction='sum', class_weight=[1.0, 2, 3, 4, 5]),
    'plain': dict(type='CrossEntropyLoss'),
    'sigmoid': dict(type='CrossEntropyLoss', use_sigmoid=True),
}
WEIGHT = dict(weight=torch.tensor([0.5, 2.0, 0.0]))
CALLS = [{}, WEIGHT, dict(avg_factor=7), dict(reduction_override='none'), dict(WEIGHT, reduction_override='sum')]
CASES = [(name, call) for name in LOSSES for call in CALLS if (name, *call) != ('soft', 'avg_factor')]  # not allowed


def wraps(stock):
    learnable = dict(type='mixpro_mm.LearnableFactor', loss=stock)
    local = dict(type='mixpro_mm.LocalContextLoss', in_channels=8, num_classes=5)
    return dict(learnable=learnable, local=dict(local, loss=stock), both=dict(local, loss=learnable))


@pytest.mark.parametrize('kind', ['learnable', 'local', 'both'])
@pytest.mark.parametrize(('name', 'call'), CASES)
def test_an_unmixed_batch_has_the_wrapped_loss(name, call, kind):
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5, requires_grad=True), torch.rand(3, 5).softmax(1)
    stock, wrapped = MODELS.build(LOSSES[name]), MODELS.build(wraps(LOSSES[name])[kind])
    expected, actual = (loss(logits, labels, **call) for loss in (stock, wrapped))
    assert torch.equal(actual, expected)
    assert wrapped.reduction == stock.reduction
    parameters = list(wrapped.parameters())
    assert len(parameters) == dict(learnable=1, local=2, both=3)[kind]
    gradient, *own = torch.autograd.grad(actual.sum(), [logits, *parameters])  # all take part, if by zero
    assert all(torch.equal(g, torch.zeros_like(p)) for g, p in zip(own, parameters, strict=True))
    assert torch.equal(gradient, torch.autograd.grad(expected.sum(), logits)[0])


def test_class_indices_keywords_and_half_precision_are_passed():
    logits, index = torch.randn(3, 5).bfloat16(), torch.tensor([4, 0, 2])
    for name in ('smooth', 'plain'):
        loss, stock = LearnableFactor(LOSSES[name]), MODELS.build(LOSSES[name])
        value = loss(label=index, cls_score=logits)
        assert torch.equal(value, stock(logits, index)) and value.dtype == stock(logits, index).dtype
        assert LearnableFactor(stock).loss is stock


def test_wrappers_are_found_from_the_outside_in():
    both = MODELS.build(wraps(LOSSES['smooth'])['both'])
    assert wrappers_of(both) == [both, both.loss]
    assert wrappers_of(CrossEntropyLoss()) == []


OTHERS = {BranchLoss: dict(labelled=LOSSES['soft']), LocalContextLoss: dict(in_channels=8, num_classes=5)}


@pytest.mark.parametrize('wrong', [None, 0, 'LabelSmoothLoss', [], {}, dict(type=5), dict(path='a')])
def test_an_invalid_loss_raises(wrong):
    for around, name in [*((cls, 'loss') for cls in (LearnableFactor, *OTHERS)), (BranchLoss, 'labelled')]:
        with pytest.raises(TypeError) as caught:
            around(**{'loss': LOSSES['soft'], **OTHERS.get(around, {}), name: wrong})
        assert str(caught.value) == f'{name} must be a config with a type or an nn.Module, got {wrong!r}'
