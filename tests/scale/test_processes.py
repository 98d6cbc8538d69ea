"""One, two and four processes (gloo) train the same model from the same batches, and compute the same metrics."""

import json
import re
import sys
from math import isnan
from pathlib import Path

import pytest
import torch

from tests.scale.conftest import BATCHES, DEIT

pytestmark = pytest.mark.long
IMAGES = 355  # of each test; not a multiple of 2, so that samplers pad with repeated images
RECORDS = dict(calibration='calibration.json', ood='ood.json', naseer='occlusion.json', count='occlusion.json')


@pytest.mark.parametrize('name', ['deit', 'pvt'])
def test_ranks_train_like_one_process(bench, together, name):
    """Each rank ends with the parameters of gradient accumulation in one process."""
    count, errors = together
    assert errors[f'{name}{count}'] == [''] * count
    plain, alone = bench.seen(f'{name}1'), bench.parameters(f'{name}1')
    first = bench.agreed(f'{name}{count}', count)
    assert plain['iterations'] == 2 * BATCHES
    for rank in range(count):
        seen = bench.seen(f'{name}{count}', rank)
        assert seen['iterations'] == 2 * BATCHES // count
        assert seen['mixed'] == pytest.approx(plain['mixed'][rank::count], rel=1e-4, nan_ok=True)
    torch.testing.assert_close(first, alone, rtol=1e-4, atol=1e-6)
    assert sum(not isnan(value) for value in plain['mixed']) > BATCHES // 2


def test_ranks_check_a_transfer_once(bench, together):
    count, errors = together
    name = f'segmenter{count}'
    assert errors[name] == [''] * count
    bench.agreed(name, count)
    records = [json.loads((bench.folder / folder / 'transfer.json').read_text()) for folder in (name, 'segmenter1')]
    assert records[0] == records[1] and records[0]['missing'] == records[0]['altered'] == []
    assert len(list((bench.folder / name).glob('20*'))) == 1  # ranks log in one folder


def test_a_failed_transfer_check_stops_every_rank(bench, together):
    count, errors = together
    (error,) = set(errors[f'refused{count}'])
    assert re.match(r'RuntimeError: TransferCheckHook: .*pvt1/epoch_2\.pth has another architecture', error)
    left = bench.folder / f'refused{count}'
    assert not (left / 'transfer.json').exists() and not list(left.glob('*.pth'))


def test_mim_with_torchrun(bench):
    """Two iterations per rank."""
    config, *rest = bench.pretrain('torchrun', DEIT, 2, train_cfg=dict(max_epochs=1))['arguments']
    mim, launch = Path(sys.executable).with_name('mim'), ['--launcher', 'pytorch', '--gpus', '2']
    printed = bench.call(mim, 'train', 'onedl-mmpretrain', config, *launch, *rest)
    assert 'torch.distributed.launch --nproc_per_node=2' in printed
    bench.agreed('torchrun', 2)
    assert bench.seen('torchrun')['iterations'] == BATCHES // 2


@pytest.mark.parametrize('name', RECORDS)
def test_metrics_are_those_of_one_process(bench, together, name):
    count, errors = together
    assert errors[f'{name}{count}'] == [''] * count
    alone = bench.seen(f'{name}1')['metrics']
    assert IMAGES % count and alone
    for rank in range(count):
        assert bench.seen(f'{name}{count}', rank)['metrics'] == pytest.approx(alone, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize('name', RECORDS)
def test_one_rank_writes_one_whole_record(bench, together, name):
    count, _ = together
    alone, mine = (json.loads((bench.folder / f'{name}{n}' / RECORDS[name]).read_text()) for n in (1, count))
    assert (alone['settings'].pop('processes'), mine['settings'].pop('processes')) == (1, count)
    for record in (alone, mine):
        del record['config'], record['label']
    for numbers in {'metrics', 'whole'} & alone.keys():
        assert mine.pop(numbers) == pytest.approx(alone.pop(numbers), rel=1e-5, abs=1e-5)
    assert mine == alone and mine['images'] == IMAGES
    written = [path.name for path in (bench.folder / f'{name}{count}').glob('*.json')]
    assert sorted(written) == sorted([RECORDS[name], *(f'rank{rank}.json' for rank in range(count))])
