"""Unwrapping of models, and errors for sharded models."""

import pytest
import torch
from mmengine._strategy.colossalai import ColossalAIModelWrapper
from mmengine.model import MMDistributedDataParallel
from mmengine.model.wrappers import MMFullyShardedDataParallel
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from mixpro_mm.augments import MixPro, PuzzleMix, SMMix, TokenMix
from mixpro_mm.hooks.labeling import refuse_shards
from mixpro_mm.utils.ranks import from_main
from mixpro_mm.utils.unwrap_model import in_shards, unwrap_model

CPU = torch.device('cpu')


@pytest.fixture
def process():
    """Start a process group of one rank."""
    distributed.init_process_group('gloo', store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_a_model_is_itself_and_of_a_wrapper_it_is_what_is_inside(process):
    model = nn.Sequential(nn.Linear(2, 2))
    model.module = nn.Linear(1, 1)  # not a wrapper
    assert unwrap_model(model) is model
    assert unwrap_model(MMDistributedDataParallel(model)) is model


def test_a_wrapper_without_module_is_an_error():
    with pytest.raises(ValueError, match=r'^ColossalAIModelWrapper has no attribute `module` with its model, '):
        unwrap_model(ColossalAIModelWrapper(None, nn.Linear(2, 2)))


def zero_3():
    model = nn.Linear(2, 2)
    model.weight.ds_id = 0
    return model


@pytest.mark.parametrize(
    ('wrapped', 'holder'),
    [
        (lambda: MMFullyShardedDataParallel(nn.Linear(2, 2), device_id=CPU), 'MMFullyShardedDataParallel'),
        (lambda: fully_shard(nn.Linear(2, 2), mesh=init_device_mesh('cpu', (1,))), r'fully_shard \(DTensor\)'),
        (zero_3, 'ZeRO 3 of DeepSpeed'),
    ],
)
def test_methods_that_run_the_model_are_refused_under_shards(process, wrapped, holder):
    model = wrapped()
    for method in (SMMix(), PuzzleMix(), TokenMix()):
        words = rf'^{type(method).__name__} runs the model in training, but {holder} shards .*DDPStrategy'
        with pytest.raises(ValueError, match=words):
            refuse_shards(model, [MixPro(), method])
    refuse_shards(model, [MixPro(), TokenMix(teacher=nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Linear(2, 2)))])


def test_whole_models_are_not_in_shards(process):
    for model in (nn.Linear(2, 2), MMDistributedDataParallel(nn.Linear(2, 2))):
        assert in_shards(model) == ''
        refuse_shards(model, [SMMix(), PuzzleMix(), TokenMix()])


def test_all_ranks_raise_the_error_of_rank_0():
    with pytest.raises(ZeroDivisionError):
        from_main(lambda: 1 / 0)


def test_an_error_of_another_library_is_converted(monkeypatch):
    """It may not be picklable, and then the other ranks would wait."""
    foreign = type('Foreign', (Exception,), dict(__module__='somewhere'))

    def work():
        raise foreign('no luck')

    with pytest.raises(RuntimeError, match=r'^Foreign: no luck$'):
        from_main(work)
