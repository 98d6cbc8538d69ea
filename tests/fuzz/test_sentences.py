"""The checks of the fuzzing must detect errors."""

import pytest
import torch
from mmpretrain.registry import BATCH_AUGMENTS

from mixpro_mm.functional.lam import linear_factor
from mixpro_mm.utils.arguments import positive
from tests.fuzz.scene import check_labels
from tests.fuzz.sentences import complaint


@pytest.mark.parametrize(
    ('call', 'names', 'reason'),
    [
        (lambda: positive('alpha', 'x'), dict(alpha='x'), None),
        (lambda: positive('alpha', 'x'), dict(prob='x'), 'no name of prob'),
        (lambda: positive('alpha', 'x'), dict(alpha='y'), 'no value of alpha'),
        (lambda: positive('alpha\n', 'x'), dict(alpha='x'), 'multi-line message'),
        (lambda: torch.zeros(2) @ torch.zeros(3), {}, 'raised in'),
        (lambda: linear_factor('x'), {}, 'not raised explicitly'),  # a comparison in the package
        (lambda: [][1], {}, 'unexpected IndexError'),
        (lambda: BATCH_AUGMENTS.build(dict(type='mixpro_mm.MaskMix', alhpa=1)), dict(alhpa=1), None),
        (lambda: BATCH_AUGMENTS.build(dict(type='mixpro_mm.MaskMx')), {}, None),
        (lambda: positive(nome='alpha'), dict(nome='alpha'), 'a call inside'),
    ],
)
def test_only_messages_with_name_and_value_pass(call, names, reason):
    with pytest.raises(Exception) as caught:
        call()
    found = complaint(caught.value, names, ())
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize('label', [[[0.5, 0.4]], [[1.5, -0.5]], [[torch.nan, 1.0]], [[torch.inf, 0.0]]])
def test_invalid_labels_are_detected(label):
    check_labels(torch.tensor([[0.5, 0.5]]), torch.eye(2), False)
    with pytest.raises(AssertionError):
        check_labels(torch.tensor(label), torch.eye(2), False)
