"""The model inside its wrapper, or one sentence of what it is that cannot be looked into."""

from types import SimpleNamespace

import pytest
from mmengine._strategy.colossalai import ColossalAIModelWrapper
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import EpochBasedTrainLoop
from torch import distributed, nn

from mixpro_mm.guard import ClassCheckHook
from mixpro_mm.labeling.hook import LabelingHook
from mixpro_mm.wrapped import unwrap


def test_a_model_is_itself_and_of_a_wrapper_it_is_what_is_inside():
    model = nn.Sequential(nn.Linear(2, 2))
    model.module = nn.Linear(1, 1)  # a name as any other where nothing is wrapped
    assert unwrap(model) is model
    distributed.init_process_group('gloo', store=distributed.HashStore(), rank=0, world_size=1)
    try:
        assert unwrap(MMDistributedDataParallel(model)) is model
    finally:
        distributed.destroy_process_group()


@pytest.mark.parametrize('hook', [LabelingHook, ClassCheckHook, None])
def test_a_wrapper_that_hides_its_model_is_one_sentence(hook):
    """Whoever asks first."""
    hidden = ColossalAIModelWrapper(None, nn.Linear(2, 2))
    runner = SimpleNamespace(model=hidden, _train_loop=object.__new__(EpochBasedTrainLoop))
    with pytest.raises(ValueError, match=r'^ColossalAIModelWrapper does not show the model that it wraps, so '):
        unwrap(hidden) if hook is None else hook().before_run(runner)
