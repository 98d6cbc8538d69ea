import pytest
from mmpretrain.models import RandomBatchAugment


@pytest.mark.parametrize('probs', [[0.5, 0.5], [0.25, 0.5]])
def test_probs_survive_being_built_twice(probs):
    augments = [dict(type='Mixup', alpha=0.8), dict(type='mixpro_mm.MaskMix', patch_size=8, mask_scale=2)]
    train_cfg = dict(augments=augments, probs=list(probs))
    built = [RandomBatchAugment(**train_cfg) for _ in range(3)]
    assert train_cfg['probs'] == probs
    assert all(augment.probs == [*probs, 1 - sum(probs)] for augment in built)
