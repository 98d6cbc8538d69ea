import pytest
import torch
from mmpretrain.models import RandomBatchAugment
from mmpretrain.registry import MODELS


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


def test_an_entry_an_earlier_build_appended_is_recognised():
    augment = RandomBatchAugment(**config([0.25, 0.5, 0.25]))  # what the host leaves behind
    assert augment.probs == [0.25, 0.5, 0.25]


def test_wrong_numbers_of_probs_are_still_refused():
    with pytest.raises(AssertionError, match='must have same lengths'):
        RandomBatchAugment(**config([0.2, 0.2, 0.2]))


def test_a_classifier_builds_twice_from_one_config():
    model = dict(
        type='ImageClassifier',
        backbone=dict(type='LeNet5', num_classes=10),
        head=dict(type='ClsHead'),
        train_cfg=config([0.5, 0.5]),
        data_preprocessor=dict(num_classes=10),
    )
    for _ in range(2):
        classifier = MODELS.build(model)
        images, scores = classifier.data_preprocessor.batch_augments(torch.rand(4, 1, 32, 32), torch.eye(4))
        assert images.shape == (4, 1, 32, 32)
        assert torch.allclose(scores.sum(1), torch.ones(4))
