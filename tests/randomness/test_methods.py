"""Each mixing method resumes bit-exactly after three of six iterations."""

import inspect

import pytest
import torch
from mmpretrain.registry import MODELS

from mixpro_mm.augments import MixAugment
from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.registry import BATCH_AUGMENTS
from tests.randomness import kit

HOSTS = dict(Mixup=dict(alpha=0.8), CutMix=dict(alpha=1.0), ResizeMix=dict(alpha=1.0, lam_max=0.8))
OURS = {name: cls for name, cls in BATCH_AUGMENTS.module_dict.items() if issubclass(cls, MixAugment)}
LABELINGS = dict(MixPro='ProgressiveAttentionLabeling', RegionMix='AttentionLabeling')  # others: AreaLabeling
MICRO = dict(patch_size=8, mask_scale=1, min_patches=2)
PROBS = [0.25, 0.75]


@pytest.fixture(scope='module')
def extractor(tmp_path_factory):
    """Return a CNN with weights for Attentive CutMix."""
    path = tmp_path_factory.mktemp('extractor') / 'cnn.pth'
    torch.manual_seed(5)
    torch.save(MODELS.build(kit.CNN).state_dict(), path)
    return dict(extractor=kit.CNN, checkpoint=str(path))


def settings_of(name, extractor):
    """Return augments, with Mixup, and hooks of a method."""
    if name in HOSTS:
        augment, hooks = dict(type=name, **HOSTS[name]), []
    else:
        known = inspect.signature(OURS[name]).parameters
        augment = dict(type=f'mixpro_mm.{name}') | {key: value for key, value in MICRO.items() if key in known}
        augment |= extractor if 'extractor' in known else {}
        hooks = [dict(type=LabelingHook, labeling=LABELINGS.get(name, 'AreaLabeling'))]
    return dict(augments=[dict(type='Mixup', alpha=0.8), augment], probs=PROBS, hooks=[*hooks, kit.HOOK])


@pytest.mark.parametrize('by_epoch', [True, pytest.param(False, marks=pytest.mark.long)], ids=['epochs', 'iterations'])
@pytest.mark.parametrize('name', [*HOSTS, *OURS])
def test_a_resumed_run_is_exact_with_every_method(name, by_epoch, extractor, tmp_path):
    settings = settings_of(name, extractor) | dict(by_epoch=by_epoch)
    found, straight = kit.twice(tmp_path, **settings)
    assert found == []
    assert straight['ema_state_dict']['steps'] == 2 * kit.BATCHES and len(straight['losses']) == 2 * kit.BATCHES
