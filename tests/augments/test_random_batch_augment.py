import pytest
from mmpretrain.models import RandomBatchAugment


def config(probs):
    return dict(
        augments=[dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MaskMix', patch_size=8, mask_scale=2)],
        probs=probs,
    )


@pytest.mark.parametrize('probs', [[0.5, 0.5], [0.25, 0.5]])
def test_probs_survive_being_built_twice(probs):
    train_cfg = config(list(probs))
    built = [RandomBatchAugment(**train_cfg) for _ in range(3)]
    assert train_cfg['probs'] == probs
    assert all(augment.probs == [*probs, 1 - sum(probs)] for augment in built)


def test_an_appended_entry_is_removed():
    augment = RandomBatchAugment(**config([0.25, 0.5, 0.25]))
    assert augment.probs == [0.25, 0.5, 0.25]


def test_wrong_numbers_of_probs_are_still_refused():
    with pytest.raises(AssertionError, match='must have same lengths'):
        RandomBatchAugment(**config([0.2, 0.2, 0.2]))
