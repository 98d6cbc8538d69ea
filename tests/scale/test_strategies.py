"""LabelingHook and TransferCheckHook under mmengine's strategies on CPU."""

import importlib.util
import re

import pytest
import torch

from tests.scale import runs

pytestmark = pytest.mark.long
DDP = dict(type='MMDistributedDataParallel', device_ids=None)
FSDP = dict(type='MMFullyShardedDataParallel', device_id='cpu', use_orig_params=True)
BY_SIZE = dict(auto_wrap_policy=dict(type='by_size'))  # each projection is an FSDP unit
SMOOTH = dict(type='LabelSmoothLoss', label_smooth_val=0.1, num_classes=10, mode='original')
LABELING = dict(type='ProgressiveAttentionLabeling', factor='learnable')
LEARNED = dict(
    custom_hooks=[dict(type='mixpro_mm.LabelingHook', labeling=LABELING), dict(type='SeedByBatch'), runs.WITNESS],
    model=dict(head=dict(loss=dict(_delete_=True, type='mixpro_mm.LearnableFactor', loss=SMOOTH))),
)
CHECK = dict(type='mixpro_mm.TransferCheckHook', checkpoint='deit1/epoch_2.pth')
PUZZLE = dict(model=dict(train_cfg=dict(augments=[dict(type='mixpro_mm.PuzzleMix')], probs=None)))
METHODS = [
    dict(type='mixpro_mm.PuzzleMix', blocks=(2, 4)),
    dict(type='mixpro_mm.SMMix', patch_size=4, attention=None),
    dict(type='mixpro_mm.MixPro', patch_size=4, mask_scale=1),
]
TURNS = dict(model=dict(train_cfg=dict(augments=METHODS, probs=None)), randomness=dict(seed=0, diff_rank_seed=True))


def flexible(bench, name, processes, strategy, **settings):
    """Return a pre-training job under FlexibleRunner."""
    settings |= dict(runner_type='FlexibleRunner', strategy=strategy, model_wrapper_cfg=None)
    return runs.pretrain(bench, name, runs.DEIT, processes, **settings)


@pytest.fixture(scope='module')
def errors(bench, alone):
    """Return the errors of each run by rank."""
    one = [
        flexible(bench, 'single', 1, dict(type='SingleDeviceStrategy')),
        runs.pretrain(bench, 'learned1', runs.DEIT, 1, **LEARNED),
    ]
    sharded = dict(type='FSDPStrategy', model_wrapper=FSDP | BY_SIZE)
    flat = dict(type='FSDPStrategy', model_wrapper=FSDP | dict(use_orig_params=False))
    two = [
        flexible(bench, 'ddp', 2, dict(type='DDPStrategy', model_wrapper=DDP)),
        flexible(bench, 'fsdp', 2, sharded),
        flexible(bench, 'fsdp-learned', 2, sharded, **LEARNED),
        flexible(bench, 'fsdp-flat', 2, flat, **LEARNED),
        flexible(bench, 'fsdp-checked', 2, sharded, custom_hooks=[CHECK]),
        flexible(bench, 'fsdp-puzzle', 2, dict(type='FSDPStrategy', model_wrapper=FSDP), **PUZZLE),
        flexible(bench, 'ddp-turns', 2, dict(type='DDPStrategy', model_wrapper=DDP), **TURNS),
        flexible(bench, 'deepspeed', 2, dict(type='DeepSpeedStrategy')),
        runs.pretrain(bench, 'late', runs.DEIT, 2, model_wrapper_cfg=FSDP),
    ]
    return bench.run(1, one) | bench.run(2, two)


@pytest.mark.parametrize(
    ('name', 'processes', 'same'),
    [
        ('single', 1, 'deit1'),
        ('ddp', 2, 'deit1'),
        ('fsdp', 2, 'deit1'),
        ('fsdp-learned', 2, 'learned1'),
        ('fsdp-flat', 2, 'learned1'),
    ],
)
def test_a_strategy_trains_what_a_plain_runner_trains(bench, errors, name, processes, same):
    assert errors[name] == [''] * processes
    plain = bench.parameters(same)
    for rank in range(processes):
        mine = bench.parameters(name, rank)
        assert mine.keys() == plain.keys()
        for key in plain:
            torch.testing.assert_close(mine[key], plain[key], rtol=1e-4, atol=1e-6)
        mixed = bench.seen(same)['mixed'][rank::processes]
        assert bench.seen(name, rank)['mixed'] == pytest.approx(mixed, rel=1e-4, nan_ok=True)


def test_the_attention_was_read_off_sharded_projections(bench, errors):
    """Each projection of the last block is an FSDP unit, and the factor is learned."""
    units = bench.seen('fsdp')['units']
    assert 'backbone.layers.3.attn.qkv' in units and 'head.layers.head' in units
    assert not bench.seen('fsdp-flat')['units'] and bench.seen('ddp')['units'] is None
    (factor,) = (value for key, value in bench.parameters('learned1').items() if 'raw_factor' in key)
    assert factor.item() != 0


@pytest.mark.parametrize(
    ('name', 'sentence'),
    [
        ('late', r"ValueError: MMFullyShardedDataParallel as model_wrapper_cfg .*runner_type='FlexibleRunner'"),
        (
            'fsdp-checked',
            r'RuntimeError: TransferCheckHook: MMFullySharded\w+ shards the tensors of backbone, ',
        ),
        ('fsdp-puzzle', 'ValueError: PuzzleMix runs the model in training, but MMFullySharded'),
    ],
)
def test_what_does_not_go_in_shards_is_one_sentence_on_every_rank(bench, errors, name, sentence):
    assert len(errors[name]) == 2 and all(re.match(sentence, error) for error in errors[name])


def test_ranks_of_ddp_may_draw_different_methods(bench, errors):
    assert errors['ddp-turns'] == [''] * 2
    first, second = (bench.parameters('ddp-turns', rank) for rank in range(2))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert bench.seen('ddp-turns', 0)['mixed'] != bench.seen('ddp-turns', 1)['mixed']


@pytest.mark.skipif(importlib.util.find_spec('deepspeed') is not None, reason='DeepSpeed is there')
def test_without_deepspeed_nothing_is_trained(bench, errors):
    for error in errors['deepspeed']:
        assert 'DeepSpeed is not installed' in error
    assert not list((bench.folder / 'deepspeed').glob('rank*'))
