"""The judges of the fuzzing must be able to say no."""

import pytest
import torch
from mmpretrain.registry import BATCH_AUGMENTS

from mixpro_mm.functional import MixedTarget
from mixpro_mm.functional.lam import linear_factor
from mixpro_mm.utils.arguments import positive
from tests.fuzz.scene import check_labels, check_pixels
from tests.fuzz.sentences import complaint


def verdict(call, names, *places):
    with pytest.raises(Exception) as caught:
        call()
    return complaint(caught.value, names, places)


def test_a_sentence_of_the_package_passes_and_must_show_the_argument_and_its_value():
    assert verdict(lambda: positive('alpha', 'x'), dict(alpha='x')) is None
    assert 'names none of prob' in verdict(lambda: positive('alpha', 'x'), dict(prob='x'))
    assert 'without the value' in verdict(lambda: positive('alpha', 'x'), dict(alpha='y'))
    assert verdict(lambda: positive('grid of MaskMix', 'x'), dict(prob=1), 'MaskMix') is None


@pytest.mark.parametrize(
    ('call', 'reason'),
    [
        (lambda: torch.zeros(2) @ torch.zeros(3), 'it comes from'),
        (lambda: linear_factor('x'), 'nobody raised it'),  # a comparison inside the package
        (lambda: MixedTarget(None, None, None), 'a AttributeError is no answer'),
        (lambda: BATCH_AUGMENTS.build({}), 'it comes from'),
        (lambda: positive('alpha\n', 'x'), 'it is not one sentence'),
        (lambda: [][1], 'a IndexError is no answer'),
        (lambda: (_ for _ in ()).throw(AssertionError('alpha 1')), 'a AssertionError is no answer'),
    ],
)
def test_what_befell_the_package_or_others_does_not(call, reason):
    assert reason in verdict(call, dict(alpha='x'))


def test_what_python_says_of_a_call_passes_where_the_host_or_the_package_makes_it():
    misspelt = dict(type='mixpro_mm.MaskMix', alhpa=1)
    assert verdict(lambda: BATCH_AUGMENTS.build(misspelt), dict(alhpa=1)) is None
    assert verdict(lambda: BATCH_AUGMENTS.build(dict(type='mixpro_mm.MaskMx')), {}) is None
    assert 'a call inside' in verdict(lambda: positive(nome='alpha'), dict(nome='alpha'))


@pytest.mark.parametrize(
    'label', [[[0.5, 0.4]], [[1.5, -0.5]], [[torch.nan, 1.0]], [[torch.inf, 0.0]]], ids=['sum', 'range', 'nan', 'inf']
)
def test_labels_that_are_none_are_seen(label):
    check_labels(torch.tensor([[0.5, 0.5]]), torch.eye(2), False)
    with pytest.raises(AssertionError):
        check_labels(torch.tensor(label), torch.eye(2), False)


def test_pixels_from_nowhere_and_from_a_third_image_are_seen():
    images = torch.rand(3, 3, 4, 4)
    images[:, 0] = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    mixed = images.clone()
    mixed[0, :, 0] = images[1, :, 0]
    check_pixels(mixed, images)
    for change in (lambda x: x[0, 0, 3].fill_(3.0), lambda x: x[0, 1, 3].fill_(1.1), lambda x: x[1, 0].fill_(1.5)):
        spoiled = mixed.clone()
        change(spoiled)
        with pytest.raises(AssertionError):
            check_pixels(spoiled, images)
