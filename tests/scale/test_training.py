"""One, two and four processes (gloo) train the same model from the same batches."""

import json
import re
from math import isnan

import pytest
import torch

from tests.scale.runs import BATCHES

pytestmark = pytest.mark.long


@pytest.mark.parametrize('name', ['deit', 'pvt'])
def test_ranks_train_like_one_process(bench, together, name):
    """Each rank ends with the parameters of gradient accumulation in one process."""
    count, errors = together
    assert errors[f'{name}{count}'] == [''] * count
    alone, first = bench.parameters(f'{name}1'), bench.parameters(f'{name}{count}')
    assert bench.seen(f'{name}1')['iterations'] == 2 * BATCHES
    losses = set()
    for rank in range(count):
        mine = bench.parameters(f'{name}{count}', rank)
        assert mine.keys() == alone.keys() and all(torch.equal(mine[key], first[key]) for key in mine)
        seen = bench.seen(f'{name}{count}', rank)
        assert seen['iterations'] == 2 * BATCHES // count
        losses.add(seen['loss'])
        assert seen['mixed'] == pytest.approx(bench.seen(f'{name}1')['mixed'][rank::count], rel=1e-4, nan_ok=True)
    assert len(losses) == count  # other batches
    for key in alone:
        torch.testing.assert_close(first[key], alone[key], rtol=1e-4, atol=1e-6)
    assert sum(not isnan(value) for value in bench.seen(f'{name}1')['mixed']) > BATCHES // 2


@pytest.mark.parametrize('task', ['segmentation', 'detection'])
def test_ranks_check_a_transfer_once(bench, together, task):
    count, errors = together
    name = f'{task}{count}'
    assert errors[name] == [''] * count
    first = bench.parameters(name)
    for rank in range(1, count):
        mine = bench.parameters(name, rank)
        assert mine.keys() == first.keys() and all(torch.equal(mine[key], first[key]) for key in mine)
    assert len({bench.seen(name, rank)['loss'] for rank in range(count)}) == count
    records = [json.loads((bench.folder / folder / 'transfer.json').read_text()) for folder in (name, f'{task}1')]
    assert records[0] == records[1] and records[0]['missing'] == records[0]['altered'] == []
    assert not list(bench.folder.rglob('*.tmp*'))
    assert len(list((bench.folder / name).glob('20*'))) == 1  # ranks log in one folder


def test_a_failed_transfer_check_stops_every_rank(bench, together):
    count, errors = together
    for error in errors[f'refused{count}']:
        assert re.match(r'RuntimeError: TransferCheckHook: .*pvt1/epoch_2\.pth has another architecture', error)
    assert len(set(errors[f'refused{count}'])) == 1
    left = bench.folder / f'refused{count}'
    assert not (left / 'transfer.json').exists() and not list(left.glob('*.pth'))
