"""Every mixing method, labelled as it usually is: three iterations, a resume and three more are six, bit by bit."""

import inspect

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS

from mixpro_mm.augments import MixAugment
from mixpro_mm.hooks.labeling import LabelingHook
from mixpro_mm.hooks.randomness import Purpose, seed_generators
from mixpro_mm.registry import BATCH_AUGMENTS
from tests.randomness import kit

HOSTS = dict(Mixup=dict(alpha=0.8), CutMix=dict(alpha=1.0), ResizeMix=dict(alpha=1.0, lam_max=0.8))
OURS = {name: cls for name, cls in BATCH_AUGMENTS.module_dict.items() if issubclass(cls, MixAugment)}
LABELINGS = dict(MixPro='ProgressiveAttentionLabeling', RegionMix='AttentionLabeling')  # others: as mixed
MICRO = dict(patch_size=8, mask_scale=1, min_patches=2)  # for whoever has such an argument
PROBS = [0.25, 0.75]


@pytest.fixture(scope='module')
def extractor(tmp_path_factory):
    """A CNN with weights, as Attentive CutMix takes one."""
    path = tmp_path_factory.mktemp('extractor') / 'cnn.pth'
    torch.manual_seed(5)
    torch.save(MODELS.build(kit.CNN).state_dict(), path)
    return dict(extractor=kit.CNN, checkpoint=str(path))


def settings_of(name, extractor):
    """Augments, hooks and the host's Mixup beside them, for a method by its name."""
    if name in HOSTS:
        augment, hooks = dict(type=name, **HOSTS[name]), []
    else:
        known = inspect.signature(OURS[name]).parameters
        augment = dict(type=f'mixpro_mm.{name}') | {key: value for key, value in MICRO.items() if key in known}
        augment |= extractor if 'extractor' in known else {}
        hooks = [dict(type=LabelingHook, labeling=LABELINGS.get(name, 'AreaLabeling'))]
    return dict(augments=[dict(type='Mixup', alpha=0.8), augment], probs=PROBS, hooks=[*hooks, kit.HOOK])


def test_the_registry_holds_the_methods():
    assert len(OURS) >= 10 and {'MixPro', 'PuzzleMix', 'SMMix', 'TokenMix'} <= OURS.keys()


def test_the_method_and_mixup_are_both_drawn_before_and_after_the_resume():
    """So that below a method is not only resumed but used; a run chooses as this does, first thing in a step."""
    chosen = []
    for iteration in range(2 * kit.BATCHES):
        seed_generators(kit.SEED, 0, iteration, Purpose.STEP)
        chosen.append(int(np.random.choice(2, p=PROBS)))  # noqa: NPY002
    assert set(chosen[: kit.BATCHES]) == set(chosen[kit.BATCHES :]) == {0, 1}


@pytest.mark.parametrize('by_epoch', [True, pytest.param(False, marks=pytest.mark.long)], ids=['epochs', 'iterations'])
@pytest.mark.parametrize('name', [*HOSTS, *OURS])
def test_every_method_goes_on_bit_by_bit(name, by_epoch, extractor, tmp_path):
    settings = settings_of(name, extractor) | dict(by_epoch=by_epoch)
    straight = kit.train(tmp_path / 'straight', **settings)
    resumed = kit.train(tmp_path / 'resumed', start=kit.half(tmp_path / 'straight'), **settings)
    assert kit.differences(straight, resumed) == []
    assert straight['ema_state_dict']['steps'] == 2 * kit.BATCHES and len(straight['losses']) == 2 * kit.BATCHES
