"""LabelingHook and TransferCheckHook under mmengine's strategies on CPU."""

import re

import pytest
import torch

from tests.scale.conftest import DEIT, WITNESS

pytestmark = pytest.mark.long
DDP = dict(type='DDPStrategy', model_wrapper=dict(type='MMDistributedDataParallel', device_ids=None))
FSDP = dict(type='MMFullyShardedDataParallel', device_id='cpu', use_orig_params=True)
SHARDED = dict(type='FSDPStrategy', model_wrapper=FSDP)
UNITS = dict(type='size_based_auto_wrap_policy', min_num_params=600)  # blocks, projections and the head
BY_SIZE = dict(type='FSDPStrategy', model_wrapper=FSDP | dict(auto_wrap_policy=UNITS))
FLAT = dict(type='FSDPStrategy', model_wrapper=FSDP | dict(use_orig_params=False))
SMOOTH = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=10, mode='original')
LABELING = dict(type='ProgressiveAttentionLabeling', factor='learnable')
LEARNED = dict(
    custom_hooks=[dict(type='mixpro_mm.LabelingHook', labeling=LABELING), dict(type='SeedByBatch'), WITNESS],
    model=dict(head=dict(loss=dict(_delete_=True, type='mixpro_mm.LearnableFactor', loss=SMOOTH))),
)
CHECK = dict(type='mixpro_mm.TransferCheckHook', checkpoint='deit1/epoch_2.pth')
PUZZLE = dict(model=dict(train_cfg=dict(augments=[dict(type='mixpro_mm.PuzzleMix')], probs=None)))
METHODS = [dict(type='mixpro_mm.PuzzleMix', blocks=(2, 4)), dict(type='mixpro_mm.SMMix', patch_size=4, attention=None)]
METHODS += [dict(type='mixpro_mm.MixPro', patch_size=4, mask_scale=1)]
TURNS = dict(model=dict(train_cfg=dict(augments=METHODS, probs=None)), randomness=dict(seed=0, diff_rank_seed=True))


@pytest.fixture(scope='module')
def errors(bench, alone):
    """Return the errors of each run by rank."""

    def flexible(name, strategy, processes=2, **settings):
        settings |= dict(runner_type='FlexibleRunner', strategy=strategy, model_wrapper_cfg=None)
        return bench.pretrain(name, DEIT, processes, **settings)

    one = [flexible('single', dict(type='SingleDeviceStrategy'), 1), bench.pretrain('learned1', DEIT, **LEARNED)]
    two = [
        flexible('ddp', DDP),
        flexible('fsdp', BY_SIZE),
        flexible('fsdp-learned', BY_SIZE, **LEARNED),
        flexible('fsdp-flat', FLAT, **LEARNED),
        flexible('fsdp-checked', BY_SIZE, custom_hooks=[CHECK]),
        flexible('fsdp-puzzle', SHARDED, **PUZZLE),
        flexible('ddp-turns', DDP, **TURNS),
        bench.pretrain('late', DEIT, 2, model_wrapper_cfg=FSDP),
    ]
    return bench.run(1, one) | bench.run(2, two)


@pytest.mark.parametrize('name', ['single', 'ddp', 'fsdp', 'fsdp-learned', 'fsdp-flat'])
def test_a_strategy_trains_what_a_plain_runner_trains(bench, errors, name):
    same, processes = 'learned1' if name in ('fsdp-learned', 'fsdp-flat') else 'deit1', len(errors[name])
    assert errors[name] == [''] * processes
    for rank in range(processes):
        torch.testing.assert_close(bench.parameters(name, rank), bench.parameters(same), rtol=1e-4, atol=1e-6)
        mixed = bench.seen(same)['mixed'][rank::processes]
        assert bench.seen(name, rank)['mixed'] == pytest.approx(mixed, rel=1e-4, nan_ok=True)


def test_the_attention_was_read_off_sharded_projections(bench, errors):
    """Each projection of the last block is an FSDP unit, and the factor is learned."""
    units = bench.seen('fsdp')['units']
    assert 'backbone.layers.3.attn.qkv' in units and 'head.layers.head' in units
    assert not bench.seen('fsdp-flat')['units'] and bench.seen('ddp')['units'] is None
    (factor,) = (value for key, value in bench.parameters('learned1').items() if 'raw_factor' in key)
    assert factor.item() != 0


def test_what_does_not_work_in_shards_is_an_error_on_every_rank(errors):
    for name, words in {
        'late': r"ValueError: MMFullyShardedDataParallel as model_wrapper_cfg .*runner_type='FlexibleRunner'",
        'fsdp-checked': r'RuntimeError: TransferCheckHook: MMFullySharded\w+ shards the tensors of backbone, ',
        'fsdp-puzzle': 'ValueError: PuzzleMix runs the model in training, but MMFullySharded',
    }.items():
        assert len(errors[name]) == 2 and all(re.match(words, error) for error in errors[name])


def test_ranks_of_ddp_may_draw_different_methods(bench, errors):
    assert errors['ddp-turns'] == [''] * 2
    bench.agreed('ddp-turns', 2)
    assert bench.seen('ddp-turns', 0)['mixed'] != bench.seen('ddp-turns', 1)['mixed']
